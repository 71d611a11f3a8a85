"""`/api/events`: what a page hears, and how soon."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.timeline import EventKind
from flux_gateway.dashboard.parts import parts
from flux_gateway.dashboard.settings import SPARE_THREADS
from tests.unit.dashboard.conftest import MakeApp
from tests.unit.dashboard.world import Members, RedisServer


def messages(answer: TestResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (event, data) of each message."""
    text = ""
    for chunk in answer.iter_encoded():
        text += chunk.decode()
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            if "data" in fields:
                yield fields["event"], json.loads(fields["data"])


def heard(stream: Iterator[tuple[str, dict[str, Any]]], wanted: Any) -> float:
    """Return the seconds until a message for which `wanted(data)` is true."""
    began = time.monotonic()
    for _, data in stream:
        if wanted(data):
            return time.monotonic() - began
        assert time.monotonic() - began < 10, "not heard"
    raise AssertionError("the stream ended")


def state_of(data: dict[str, Any], node_id: str) -> str:
    return next((node["state"] for node in data.get("nodes", ()) if node["id"] == node_id), "")


def test_it_begins_with_everything_and_goes_on_with_changes(members: Members, client: FlaskClient) -> None:
    members.node("gateway-1", EventKind.JOINED)
    members.node("gateway-2", EventKind.JOINED)
    answer = client.get("/api/events")
    assert answer.mimetype == "text/event-stream"
    stream = messages(answer)
    event, first = next(stream)
    assert event == "cluster"
    assert "history" not in str(first["nodes"])
    if state_of(first, "gateway-2") != "UP":
        heard(stream, lambda data: state_of(data, "gateway-2") == "UP")
    members.node("gateway-2", EventKind.DRAINING, state=NodeState.DRAINING)
    assert heard(stream, lambda data: state_of(data, "gateway-2") == "DRAINING") < 2
    members.lose_heartbeat("gateway-1")
    assert heard(stream, lambda data: state_of(data, "gateway-1") == "DEAD") < 3
    answer.close()


def test_events_are_sent_once(members: Members, client: FlaskClient) -> None:
    members.node("gateway-1", EventKind.JOINED)
    answer = client.get("/api/events")
    stream = messages(answer)
    members.node("gateway-1", EventKind.DRAINING, state=NodeState.DRAINING)
    kinds: list[str] = []
    while "draining" not in kinds:
        kinds = [event["kind"] for event in next(stream)[1].get("events", ())] + kinds
    members.node("gateway-1", EventKind.UNDRAINED, state=NodeState.UP)
    while "undrained" not in kinds:
        kinds = [event["kind"] for event in next(stream)[1].get("events", ())] + kinds
    assert kinds == ["undrained", "draining", "joined"]
    answer.close()


def test_it_says_when_the_data_is_stale_and_when_it_is_not(
    redis_server: RedisServer, members: Members, client: FlaskClient
) -> None:
    members.node("gateway-1")
    answer = client.get("/api/events")
    stream = messages(answer)
    redis_server.stop()
    heard(stream, lambda data: data["stale"] and data["problem"])
    redis_server.start()
    heard(stream, lambda data: not data["stale"])
    answer.close()


def test_a_quiet_stream_gives_signs_of_life(client: FlaskClient) -> None:
    answer = client.get("/api/events")
    assert [event for event, _ in zip("12", messages(answer), strict=False)]
    answer.close()


def test_streams_are_bounded_and_given_back(make_app: MakeApp) -> None:
    client = make_app(threads=SPARE_THREADS + 2).test_client()
    first, second = client.get("/api/events"), client.get("/api/events")
    refused = client.get("/api/events")
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
    assert client.get("/api/cluster").status_code == 200
    first.close()
    third = client.get("/api/events")
    assert third.status_code == 200
    second.close()
    third.close()


def test_streams_end_when_the_dashboard_stops(app: Flask) -> None:
    answer = app.test_client().get("/api/events")
    stream = messages(answer)
    next(stream)
    threading.Timer(0.1, parts(app).board.close).start()
    began = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - began < 1
    answer.close()
