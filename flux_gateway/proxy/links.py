"""The proxy's end of the links: one WebSocket to each node's admin port (design, section 6)."""

import asyncio
import logging
from collections.abc import Callable

import aiohttp
import msgspec

from flux_gateway.core import link
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.liveness import LinkState
from flux_gateway.core.residue import limit_for
from flux_gateway.core.timeline import EventKind
from flux_gateway.proxy.moves import Moves
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.router import Router
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.outbox import Outbox

log = logging.getLogger(__name__)

_TICK = 0.05
"""Seconds between two judgements of the links."""

_CONNECT = 1.0
"""Seconds for a link to be opened, handshake included."""

_LONGEST = link.size_limit(limit_for(2**30))
"""Bytes a message of a node may have: a session with as much of an unfinished message as is ever carried."""

_STALL = 0.5
"""Seconds by which this process must have been late for a silence to be its own fault."""

Told = Callable[[Node, link.ToProxy], None]
"""Called with what a node says about sessions that move."""

Tell = Callable[[EventKind, str, str], None]
"""Called with (kind, detail, node id) for the time line."""


class Links:
    """Keeps a link to each node open, and judges the nodes by them."""

    def __init__(self, settings: ProxySettings, router: Router, moves: Moves, token: str, tell: Tell) -> None:
        self._settings, self._router, self._moves, self._tell = settings, router, moves, tell
        # A link that has gone silent is opened anew: the old connection would resume only with TCP's retransmission
        # times, by then long.
        self._patience = aiohttp.ClientWSTimeout(ws_receive=settings.link_silence, ws_close=0.2)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, LinkState] = {}
        self._lost_since: dict[str, float] = {}
        self._dead: set[str] = set()
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(local_addr=(settings.source, 0) if settings.source else None, limit=0)
        self._session = aiohttp.ClientSession(connector=connector)

    def open(self, node: Node) -> None:
        """Start keeping a link to a node that joined."""
        self._seen[node.id] = LinkState.DOWN
        self._tasks[node.id] = asyncio.create_task(self._keep(node), name=f"link {node.id}")

    def drop(self, node: Node) -> None:
        """Stop keeping the link of a node that left the registry."""
        self._seen.pop(node.id, None)
        self._lost_since.pop(node.id, None)
        self._dead.discard(node.id)
        task = self._tasks.pop(node.id, None)
        if task is not None:
            task.cancel()

    def states(self) -> dict[str, str]:
        """Return the state of each link by node id."""
        return {node.id: str(node.health.state) for node in self._router.nodes.values()}

    async def _keep(self, node: Node) -> None:
        """Connect, serve, and connect again; quickly at first, then once a second."""
        pause = 0.05
        while True:
            try:
                async with asyncio.timeout(_CONNECT) as deadline:
                    url = f"http://{node.record.host}:{node.record.admin_port}/link"
                    async with self._session.ws_connect(
                        url, params={"proxy": self._settings.id}, headers=self._headers,
                        max_msg_size=_LONGEST, timeout=self._patience,
                    ) as socket:
                        deadline.reschedule(None)
                        pause = 0.05
                        await self._serve(node, socket)
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
                log.debug("link to %s: %r", node.id, error)
            self._down(node)
            await asyncio.sleep(pause)
            pause = min(1.0, pause * 2)

    async def _serve(self, node: Node, socket: aiohttp.ClientWebSocketResponse) -> None:
        node.health.connected(self._loop.time())
        outbox = Outbox(socket)
        node.say = outbox.say
        self._moves.connected(node)
        tasks = [
            asyncio.create_task(outbox.write(), name=f"say {node.id}"),
            asyncio.create_task(self._ping(outbox), name=f"ping {node.id}"),
        ]
        try:
            async for message in socket:
                if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                    continue
                said = link.decode_at_proxy(message.data)
                if isinstance(said, link.Status):
                    node.health.heard(self._loop.time())
                    node.told(said)
                    self._judge(node)
                    if said.state is NodeState.DRAINING:
                        self._moves.evacuate()
                else:
                    self._moves.told(node, said)
        finally:
            node.say = None
            self._moves.disconnected(node)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ping(self, outbox: Outbox) -> None:
        sequence = 0
        while True:
            sequence += 1
            outbox.say(link.Ping(sequence))
            await asyncio.sleep(self._settings.link_interval)

    def _down(self, node: Node) -> None:
        node.health.closed(self._loop.time())
        self._judge(node)

    async def run(self) -> None:
        """Judge the links for ever."""
        looked_at = self._loop.time()
        while True:
            now = self._loop.time()
            late, looked_at = now - looked_at - _TICK, now
            for node in list(self._router.nodes.values()):
                if late > _STALL:
                    # What the nodes said meanwhile has not been read yet.
                    node.health.excuse(late)
                node.health.tick(now)
                node.ramp = node.health.ramp(now)
                self._judge(node)
            await asyncio.sleep(_TICK)

    def _judge(self, node: Node) -> None:
        """Act on what a link's state has become."""
        before, state, now = self._seen.get(node.id), node.health.state, self._loop.time()
        if before is None:
            return
        self._seen[node.id] = state
        if state is LinkState.UP:
            self._lost_since.pop(node.id, None)
            self._dead.discard(node.id)
            if before is not state:
                log.info("link up", extra=fields(node=node.id))
                self._tell(EventKind.LINKED, "", node.id)
            return
        lost_since = self._lost_since.setdefault(node.id, now)
        if before is LinkState.UP:
            self._fell(node, state)
        elif now - lost_since >= self._settings.dead_after and node.id not in self._dead:
            self._dead.add(node.id)
            if node.relays:
                log.warning("node dead", extra=fields(node=node.id, clients=len(node.relays)))
            self._router.lost(node, True)

    def _fell(self, node: Node, state: LinkState) -> None:
        if not node.health.planned:
            log.warning("link lost", extra=fields(node=node.id, state=state, clients=len(node.relays)))
            self._tell(EventKind.SUSPECT, "no answer" if state is LinkState.SUSPECT else "link closed", node.id)
        self._router.lost(node, False)

    async def close(self) -> None:
        """Close every link."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._session.close()
