"""`flux gateway`: puts a node together, runs it, drains it at SIGTERM."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from flux_gateway.broker.broker import Broker
from flux_gateway.broker.cluster import Cluster
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.timeline import EventKind
from flux_gateway.gateway.counters import NodeMetrics
from flux_gateway.gateway.drain import Drain
from flux_gateway.gateway.links import Links
from flux_gateway.gateway.messaging.api import api
from flux_gateway.gateway.messaging.composition import MessagingPart
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.node import Node
from flux_gateway.gateway.record import NodeRecords
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.registry.announcer import Announcer
from flux_gateway.registry.connect import RedisSettings, connect, dialler
from flux_gateway.registry.registry import Registry
from flux_gateway.runtime import admin
from flux_gateway.runtime.figures import ProcessFigures, stat
from flux_gateway.runtime.loop_watch import LoopWatch
from flux_gateway.runtime.notify import Notifier
from flux_gateway.runtime.ports import taken
from flux_gateway.runtime.signals import StopSignals, wait_for

log = logging.getLogger(__name__)

_LAST_WORD = 1.0
"""Seconds the registry gets to hear of the end."""


async def run(settings: GatewaySettings, redis: RedisSettings, messaging: MessagingSettings) -> None:
    """Run a node until SIGTERM or SIGINT; returns when it has drained and stopped. A second signal ends at once."""
    signals = StopSignals()
    watch, figures = LoopWatch(), ProcessFigures()
    token = admin.read_token(settings.token_file)
    node = Node(settings, token.encode())
    registry = Registry(connect(redis, source=settings.host), heartbeat_life=redis.heartbeat_life)
    announcer = Announcer(settings.id, registry, redis.heartbeat_interval, NodeRecords(node, figures, watch))
    node.on_change(lambda before, after, detail: announcer.note(_event_kind(before, after), detail))
    broker = _broker(settings, redis, messaging)
    part = MessagingPart(node, messaging, broker)
    notifier = Notifier(lambda: f"{node.state}, {len(node.connections)} sessions")
    node.on_change(lambda before, after, detail: notifier.changed())
    links = Links(node, token)
    drain = Drain(node, links.proxies, announcer.refresh)
    metrics = NodeMetrics(
        node.counters, lambda: len(node.connections), lambda: node.state, lambda: watch.worst("metrics")
    )
    source = _Source(node, announcer, figures, watch)
    application = admin.build(source, watch, metrics, token, more=[part.metrics], own_key=api.PREFIX)
    application.add_routes([web.get("/link", links.serve), *_commands(node, drain), *part.routes])
    server = admin.AdminServer(application, settings.host, settings.admin_port)
    await part.start()
    await _open(node, server)
    node.enter(NodeState.UP)
    # Whether Redis answers is told by /readyz: a node that waited for it here would be killed by systemd without it.
    notifier.ready()
    announcing = asyncio.create_task(announcer.run(), name="announcer")
    try:
        await wait_for(signals.drain, announcing)
        drain.start("SIGTERM")
        # Only this drain ends the process: an operator's may be undone, and systemd must not set a deadline to it.
        notifier.stopping()
        await wait_for(signals.now, asyncio.create_task(drain.finished()), announcing)
        node.enter(NodeState.STOPPED)
        await announcer.told(_LAST_WORD)
    finally:
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)
        await links.close()
        await server.stop()
        await node.close()
        await part.close()
        await registry.close()
        watch.stop()
        notifier.close()


def _broker(settings: GatewaySettings, redis: RedisSettings, messaging: MessagingSettings) -> Broker:
    seeds = messaging.cluster_addresses()
    where = Cluster(seeds, dialler(redis, settings.host)) if seeds else connect(redis, source=settings.host)
    return Broker(where, timeout=redis.timeout, node_id=settings.id)


async def _open(node: Node, server: admin.AdminServer) -> None:
    settings = node.settings
    for what, port, start in (("clients", settings.port, node.listen), ("admin", settings.admin_port, server.start)):
        try:
            await start()
        except OSError as error:
            raise CommandError(taken(f"{settings.id} ({what})", settings.host, port)) from error


def _event_kind(before: NodeState, after: NodeState) -> EventKind:
    if (before, after) == (NodeState.DRAINING, NodeState.UP):
        return EventKind.UNDRAINED
    return {
        NodeState.UP: EventKind.JOINED,
        NodeState.DRAINING: EventKind.DRAINING,
        NodeState.STOPPED: EventKind.STOPPED,
    }[after]


def _commands(node: Node, drain: Drain) -> list[web.RouteDef]:
    async def post_drain(request: web.Request) -> web.Response:
        sessions = drain.start("asked by an operator", _seconds(request))
        return admin.json_response({"id": node.settings.id, "state": node.state, "sessions": sessions}, 202)

    async def post_undrain(_: web.Request) -> web.Response:
        await drain.undo()
        return admin.json_response({"id": node.settings.id, "state": node.state})

    return [web.post("/drain", post_drain), web.post("/undrain", post_undrain)]


def _seconds(request: web.Request) -> float | None:
    """The window asked for with `?seconds=`, or None for the node's own setting."""
    given = request.query.get("seconds")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise CommandError(f"seconds={given}: give a number from 0 to 3600")
    return seconds


class _Source:
    """What the admin server asks of a node."""

    def __init__(self, node: Node, announcer: Announcer, figures: ProcessFigures, watch: LoopWatch) -> None:
        self._node, self._announcer, self._figures, self._watch = node, announcer, figures, watch

    def ready(self) -> tuple[bool, str]:
        if self._node.state is not NodeState.UP:
            return False, f"node is {self._node.state}"
        if not self._announcer.registered:
            return False, "Redis has not been reached yet"
        return True, ""

    def info(self) -> dict[str, Any]:
        return {**self._node.info(), "registry_reachable": bool(self._announcer.available)}

    def stat(self) -> dict[str, Any]:
        traffic = self._node.counters.traffic
        lag = self._watch.worst("stat")
        return stat(len(self._node.connections), traffic.messages_in, traffic.messages_out, lag, self._figures)
