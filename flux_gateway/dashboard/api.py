"""`/api`: the cluster as JSON and as a stream, and the operator's actions."""

import gzip
import logging
import time
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, request

from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import GONE, NodeState
from flux_gateway.dashboard import messages, node_admin
from flux_gateway.dashboard.access import Refused
from flux_gateway.dashboard.parts import parts
from flux_gateway.dashboard.stream import stream
from flux_gateway.dashboard.view import concluded
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

blueprint = Blueprint("api", __name__, url_prefix="/api")

MAX_BODY = 4096


def _json(content: Any, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    response = Response(body, status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    # 15 minutes of 100 nodes are some 500 KB, and columns of numbers shrink well.
    if len(body) > 4096 and request.accept_encodings.quality("gzip") > 0:
        response.set_data(gzip.compress(body, 1))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


@blueprint.errorhandler(Refused)
def refused(error: Refused) -> Response:
    """Answer in JSON, as the page expects it."""
    return _json({"error": str(error)}, error.status)


@blueprint.get("/cluster")
def cluster() -> Response:
    """Return the whole cluster with 15 minutes of history. The fields: `messages.cluster`."""
    owned = parts(current_app)
    return _json(messages.cluster(owned.board.view, time.time(), owned.histories.columns))


@blueprint.get("/events")
def events() -> Response:
    """Stream the cluster as server-sent events: `cluster`, then `update` and `tick`. 503 when too many are open."""
    owned = parts(current_app)
    if not owned.streams.take():
        response = _json({"error": "Too many pages are live. This one polls instead."}, 503)
        response.headers["Retry-After"] = "10"
        return response
    response = Response(stream(owned.board), mimetype="text/event-stream")
    response.call_on_close(owned.streams.give_back)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold small messages back
    return response


@blueprint.get("/session")
def session_state() -> Response:
    """Return the token against forged requests, and whether the controls are absent, locked or unlocked."""
    return _json(parts(current_app).access.describe())


@blueprint.post("/unlock")
def unlock() -> Response:
    """Take `{"token": ...}` and make this session an operator's."""
    access = parts(current_app).access
    access.check_own_page(request)
    if (request.content_length or 0) > MAX_BODY:
        raise Refused(413, "That is too long for a token.")
    try:
        presented = msgspec.json.decode(request.get_data(), type=dict[str, str]).get("token", "")
    except msgspec.DecodeError as error:
        raise Refused(400, 'Send {"token": "..."}.') from error
    access.unlock(presented)
    return _json(access.describe())


@blueprint.post("/lock")
def lock() -> Response:
    """Make this session read-only again."""
    access = parts(current_app).access
    access.check_own_page(request)
    access.lock()
    return _json(access.describe())


@blueprint.post("/nodes/<node_id>/<any(drain, undrain):action>")
def act(node_id: str, action: str) -> Response:
    """Ask a node to drain or to come back. 202 when it agreed; the new state arrives on the stream."""
    owned = parts(current_app)
    owned.access.check_own_page(request)
    owned.access.check_operator()
    node = owned.collector.node(node_id)
    if node is None:
        raise Refused(404, f"There is no node {node_id}.")
    state = concluded(node, owned.board.view.ages)
    if state in GONE:
        raise Refused(409, f"{node_id} is {state}: nobody is there to {action}.")
    if state == (NodeState.DRAINING if action == "drain" else NodeState.UP):
        raise Refused(409, f"{node_id} is {state} already.")
    try:
        node_admin.post(node, action, owned.access.token)
    except CommandError as error:
        log.warning("a node refused", extra=fields(node=node_id, action=action, reason=error))
        raise Refused(502, str(error)) from error
    log.info("asked a node", extra=fields(node=node_id, action=action))
    return _json({"node": node_id, "action": action}, 202)
