"""`flux proxy`: puts a proxy together, runs it, lets its clients go at SIGTERM."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from flux_gateway import __version__
from flux_gateway.core.balance import Bounds
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import TAKES_SESSIONS, NodeState, advance
from flux_gateway.core.liveness import LinkPolicy
from flux_gateway.core.membership import ProxyRecord, Snapshot
from flux_gateway.core.timeline import EventKind
from flux_gateway.proxy import api
from flux_gateway.proxy.counters import ProxyCounters, ProxyMetrics
from flux_gateway.proxy.links import Links
from flux_gateway.proxy.listener import Listener
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.rebalance import Rebalance
from flux_gateway.proxy.relay import RESTARTING
from flux_gateway.proxy.router import Router
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.proxy.switchboard import Switchboard
from flux_gateway.registry.announcer import Announcer
from flux_gateway.registry.connect import RedisSettings, connect
from flux_gateway.registry.registry import Registry
from flux_gateway.registry.watch import RegistryWatch
from flux_gateway.runtime import activation, admin
from flux_gateway.runtime.figures import ProcessFigures, stat
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.loop_watch import LoopWatch
from flux_gateway.runtime.notify import Notifier
from flux_gateway.runtime.ports import taken
from flux_gateway.runtime.signals import StopSignals, wait_for
from flux_gateway.runtime.spread import spread, within

log = logging.getLogger(__name__)

_LAST_WORD = 1.0
"""Seconds the registry gets to hear of the end, and clients who were told to leave in a hurry."""


_PATIENCE = 2.0
"""Seconds at most that clients wait in the listener until this proxy knows the nodes and has a link to each."""

_QUIESCE = 2.0
"""Seconds that handshakes and moves get to come to their end before connections are handed over."""

_CLIENTS = "clients"
"""`FileDescriptorName=` of the sockets that systemd opens for clients."""


class ProxyDaemon:
    """One proxy process: the parts, and what the admin server and the registry ask of them."""

    def __init__(self, settings: ProxySettings, redis: RedisSettings) -> None:
        self.settings = settings
        self.state = NodeState.STARTING
        self.started_at = time.time()
        self.counters = ProxyCounters()
        self.watch, self.figures = LoopWatch(), ProcessFigures()
        self.notifier = Notifier(lambda: f"{self.state}, {self.counters.connections} clients")
        policy = LinkPolicy(
            interval=settings.link_interval, silence=settings.link_silence, slow_start=settings.slow_start
        )
        self.router = Router(Bounds(settings.load_factor, settings.load_floor), policy)
        token = admin.read_token(settings.token_file)
        self.board = Switchboard(settings, self.router, self.counters, token.encode())
        self.listener = Listener(self.board)
        self.registry = Registry(
            connect(redis, source=settings.source or None), heartbeat_life=redis.heartbeat_life
        )
        self.announcer = Announcer(settings.id, self.registry, redis.heartbeat_interval, self._record)
        self.links = Links(settings, self.router, self.board.moves, token, self._tell)
        self.board.moves.tell = self._tell
        self._news = asyncio.Event()
        self.membership = RegistryWatch(self.registry, settings.snapshot_interval, settings.id, self._take)
        self.rebalance = Rebalance(
            self.router,
            self.board.moves,
            settings.rebalance_share,
            lambda: self.membership.away_since is not None,
        )
        metrics = ProxyMetrics(self.counters, self.board.moves.figures, self.router.nodes)
        application = admin.build(self, self.watch, metrics, token, own_key=api.PREFIX)
        self.api = api.Api(self.router, settings.source)
        application.add_routes([*self._commands(), *self.api.routes()])
        self.server = admin.AdminServer(application, settings.admin_host, settings.admin_port)
        self._sample: tuple[int, float] = (0, 0.0)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT and until the clients are let go. A second signal ends at once."""
        signals = StopSignals()
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("announcer", self.announcer.run()),
                ("snapshots", self.membership.poll()),
                ("events", self.membership.follow()),
                ("links", self.links.run()),
                ("rebalance", self.rebalance.run()),
            )
        ]
        keeping = self.board.keeping
        if keeping is not None:
            tasks.append(asyncio.create_task(keeping.keeper.run(), name="keeper"))
        try:
            await self._open()
            if keeping is not None:
                # Before the links are up: clients that talk to a node wait only for this.
                await self._until(lambda: self.router.known)
                await keeping.take_over(self._node_at)
            await self._know_the_nodes()
            self.listener.accept()
            self._enter(NodeState.UP, EventKind.JOINED)
            self.notifier.ready()
            await wait_for(signals.drain, *tasks)
            if signals.first is signal.SIGTERM and await self._hand_over():
                return
            self._enter(NodeState.DRAINING, EventKind.DRAINING)
            self.notifier.stopping()
            # Whoever sends clients here (keepalived, a load balancer) asks /readyz, and needs a moment to notice.
            await within(signals.now, self.settings.drain_grace)
            # What systemd has opened it keeps: new clients wait in the backlog for the next process.
            self.listener.close()
            letting_go = asyncio.create_task(self._let_go(), name="drain")
            await wait_for(signals.now, letting_go, *tasks)
            await self._hurry(letting_go)
            self._enter(NodeState.STOPPED, EventKind.STOPPED)
            await self.announcer.told(_LAST_WORD)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.listener.close()
            self.board.close()
            # At the same time: the next process starts when this one has ended, and clients wait for it.
            await asyncio.gather(self.links.close(), self.server.stop(), self.api.close(), self.registry.close())
            self.watch.stop()
            self.notifier.close()

    async def _open(self) -> None:
        settings = self.settings
        passed = activation.listeners()
        clients = passed.pop(_CLIENTS, [])
        for name, sockets in passed.items():
            log.warning("sockets passed by systemd that nobody wants, closed", extra=fields(name=name))
            for sock in sockets:
                sock.close()
        if clients:
            self.listener.adopt(clients)
            log.info("listening on what systemd opened", extra=fields(sockets=len(clients)))
        else:
            try:
                self.listener.open(settings.host, settings.port, settings.backlog)
            except OSError as error:
                raise CommandError(taken(f"{settings.id} (clients)", settings.host, settings.port)) from error
        try:
            await self.server.start()
        except OSError as error:
            raise CommandError(taken(f"{settings.id} (admin)", settings.admin_host, settings.admin_port)) from error

    async def _hand_over(self) -> bool:
        """Leave the connections to the next process, if there is a keeper. Returns whether they are in its hands."""
        keeping = self.board.keeping
        if keeping is None or not keeping.keeper.connected:
            return False
        self.notifier.stopping()
        # New clients wait in the backlog for the next process.
        self.listener.close()
        relays = await self.board.quiesce(_QUIESCE)
        if not await keeping.hand_over(relays):
            log.error("the keeper is gone: clients have to come back", extra=fields(clients=len(relays)))
            self.board.watch_again(relays)
            return False
        self.board.leave(relays)
        log.info("handed over", extra=fields(connections=len(relays)))
        self._enter(NodeState.STOPPED, EventKind.STOPPED)
        await self.announcer.told(_LAST_WORD)
        return True

    def _node_at(self, node_id: str, address: tuple[str, int] | None) -> Node | None:
        """Return the node of a connection that was taken over, also if the registry has not told of it yet."""
        node = self.router.nodes.get(node_id)
        if node is None and address is not None:
            node = self.router.assume(node_id, address, asyncio.get_running_loop().time())
            self.links.open(node)
        return node

    async def _until(self, known: Callable[[], bool]) -> bool:
        """Wait for news that make something known, but not for long. Returns whether they came."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not known():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _know_the_nodes(self) -> None:
        """Wait for the first snapshot and the links: a proxy that restarts would turn away all who wait for it.

        Not for long: without Redis, or with a node that is gone, it goes on as it is.
        """
        if not await self._until(self._knows_the_nodes):
            log.warning("not every node is linked, going on", extra=fields(links=self.links.states()))

    def _knows_the_nodes(self) -> bool:
        expected = [node for node in self.router.nodes.values() if node.record.state in TAKES_SESSIONS]
        return self.router.known and all(node.usable for node in expected)

    def _enter(self, state: NodeState, kind: EventKind) -> None:
        self.state = advance(self.state, state)
        log.info("state", extra=fields(state=state, clients=self.counters.connections))
        self.notifier.changed()
        self.announcer.note(kind)

    async def _let_go(self) -> None:
        """Close every client with 1012, spread over the window."""
        relays = self.board.relays()
        window, loop = self.settings.drain_timeout, asyncio.get_running_loop()
        started = loop.time()
        seconds = max(0.0, window - min(self.settings.close_timeout, window / 10))
        await spread(
            relays,
            lambda relay: relay.give_up(RESTARTING, "proxy draining"),
            seconds,
            over=self.board.empty,
        )
        await within(self.board.empty, started + window - loop.time())

    async def _hurry(self, letting_go: "asyncio.Task[None]") -> None:
        """Tell those who are left, all at once, and give them a moment to read it."""
        letting_go.cancel()
        await asyncio.gather(letting_go, return_exceptions=True)
        for relay in self.board.relays():
            relay.give_up(RESTARTING, "proxy draining")
        await within(self.board.empty, _LAST_WORD)

    # Membership.

    def _tell(self, kind: EventKind, detail: str, subject: str) -> None:
        self.announcer.note(kind, detail, subject)
        self._news.set()

    def _take(self, snapshot: Snapshot) -> None:
        self._news.set()
        joined, left = self.router.update(snapshot, asyncio.get_running_loop().time())
        for node in joined:
            log.info("node known", extra=fields(node=node.id, host=node.record.host, port=node.record.port))
            self.links.open(node)
        for node in left:
            log.info("node forgotten", extra=fields(node=node.id))
            self.links.drop(node)

    def _record(self, sample: bool) -> ProxyRecord:
        if sample:
            self._sample = (self.figures.rss(), round(self.figures.cpu_percent("heartbeat"), 1))
        settings, (rss, cpu) = self.settings, self._sample
        return ProxyRecord(
            id=settings.id,
            host=settings.host,
            port=settings.port,
            admin_host=settings.admin_host,
            admin_port=settings.admin_port,
            state=self.state,
            version=__version__,
            connections=self.counters.connections,
            started_at=self.started_at,
            heartbeat_at=time.time(),
            rss=rss,
            cpu=cpu,
            pid=os.getpid(),
            links=self.links.states(),
            nodes={node.id: len(node.relays) for node in self.router.nodes.values()},
            moves=self.board.moves.figures.totals(),
        )

    # For the admin server.

    def ready(self) -> tuple[bool, str]:
        """Whether clients should be sent here, and why not."""
        if not self.router.known:
            return False, "Redis has not been reached yet"
        if self.state is not NodeState.UP:
            return False, f"proxy is {self.state}"
        if not self.router.usable():
            return False, "no node takes sessions"
        return True, ""

    def info(self) -> dict[str, Any]:
        """Public facts about this proxy."""
        return {
            "id": self.settings.id,
            "state": self.state,
            "version": __version__,
            "connections": self.counters.connections,
            "started_at": self.started_at,
            "registry_reachable": self.membership.away_since is None,
            "moves": self.board.moves.figures.totals(),
            "nodes": {
                node.id: {
                    "state": node.state,
                    "link": node.health.state,
                    "usable": node.usable,
                    "connections": len(node.relays),
                    "load": node.load,
                }
                for node in self.router.nodes.values()
            },
        }

    def stat(self) -> dict[str, Any]:
        """One sample for `flux stat`."""
        sample = stat(self.counters.connections, 0, 0, self.watch.worst("stat"), self.figures)
        return {**sample, **self.board.moves.figures.recent(time.monotonic())}

    def _commands(self) -> list[web.RouteDef]:
        async def get_rebalance(_: web.Request) -> web.Response:
            return admin.json_response({"id": self.settings.id, **self.rebalance.status()})

        async def post_rebalance(request: web.Request) -> web.Response:
            away = self.rebalance.hurry() if request.query.get("now") == "1" else self.rebalance.status()["away"]
            return admin.json_response({"id": self.settings.id, "moving": away}, 202)

        return [web.get("/rebalance", get_rebalance), web.post("/rebalance", post_rebalance)]


async def run(settings: ProxySettings, redis: RedisSettings) -> None:
    """Run a proxy until SIGTERM or SIGINT; returns when its clients are let go."""
    await ProxyDaemon(settings, redis).run()
