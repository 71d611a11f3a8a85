"""The proxy's part of a session, as a coroutine: it opens, moves and reattaches sessions of real nodes."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from flux_gateway.core import frozen, link, proxy_protocol, ticket
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.link import Detach, Detaching, Drop, Ping, Refused, Released
from flux_gateway.core.residue import limit_for
from flux_gateway.core.ticket import Ticket
from tests.integration.gateway.proxy_side import ATTACHED, SECRET
from tests.integration.gateway.wire import Arrived, request
from tests.processes import TOKEN, Daemon

PATH = "/connection/websocket"

_PATIENCE = 10.0
"""Seconds for a node to do its part."""


class NodeLink:
    """The link to one node, for as long as the node lives. What the node says about a session goes to who waits."""

    def __init__(self, node: Daemon, socket: ClientConnection) -> None:
        self.node = node
        self._socket = socket
        self._waiting: dict[tuple[str, str], asyncio.Future[Detaching | Refused | Released]] = {}
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._ping())]

    @classmethod
    async def open(cls, node: Daemon, proxy_id: str) -> "NodeLink":
        """Connect to the node's admin port."""
        socket = await connect(
            f"ws://{node.admin[0]}:{node.admin[1]}/link?proxy={proxy_id}",
            additional_headers={"Authorization": f"Bearer {TOKEN}"},
            max_size=link.size_limit(limit_for(2**30)),
            compression=None, ping_interval=None, proxy=None,
        )  # fmt: skip
        return cls(node, socket)

    async def _hear(self) -> None:
        async for data in self._socket:
            said = link.decode_at_proxy(data)
            if isinstance(said, Detaching):
                for session in said.sessions:
                    self._answer(session, "detach", said)
            elif isinstance(said, Refused):
                for session in said.sessions:
                    if not self._answer(session, "detach", said):
                        self._answer(session, "release", said)
            elif isinstance(said, Released):
                self._answer(said.session, "release", said)

    def _answer(self, session: str, about: str, said: Detaching | Refused | Released) -> bool:
        waiting = self._waiting.pop((session, about), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(said)
        return waiting is not None

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self._socket.send(link.encode(Ping(0)))

    def expect(self, session: str, about: str) -> "asyncio.Future[Detaching | Refused | Released]":
        """Return what the node will say about a session: to "detach" or "release" it."""
        waiting: asyncio.Future[Detaching | Refused | Released] = asyncio.get_running_loop().create_future()
        self._waiting[session, about] = waiting
        return waiting

    async def say(self, message: Detach | Drop) -> None:
        """Say something to the node."""
        await self._socket.send(link.encode(message))

    async def close(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await self._socket.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Relay:
    """One session. Frames of the node are delivered in order; what the client sends while it moves waits."""

    def __init__(self, proxy_id: str, host: str, deliver: Callable[[Arrived], None], lost: Callable[[], None]) -> None:
        """`lost` is called when the node's stream ends and that is not a move's doing."""
        self._proxy_id, self._host = proxy_id, host
        self._deliver, self._lost = deliver, lost
        self.session = uuid4().hex
        self.fence = 0
        self.node: Daemon | None = None
        self.moving = False
        self._closed = False
        self._opened_at = time.time()
        self._held: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._reader: asyncio.StreamReader
        self._ending: asyncio.Task[None] | None = None

    async def open(self, node: Daemon, protocol: str) -> None:
        """Open the session at a node, which must take it."""
        tlvs = {proxy_protocol.UNIQUE_ID: self.session.encode(), proxy_protocol.PROXY_ID: self._proxy_id.encode()}
        reader, writer = await self._dial(node, tlvs)
        writer.write(request(PATH, {"Sec-WebSocket-Protocol": protocol}))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
        assert head.startswith(b"HTTP/1.1 101 "), head
        self._take(node, reader, writer)

    async def _dial(
        self, node: Daemon, tlvs: dict[int, bytes]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*node.address, local_addr=(self._host, 0))
        writer.write(proxy_protocol.encode(("203.0.113.7", 4711), node.address, tlvs))
        return reader, writer

    def _take(self, node: Daemon, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.close()
            return
        self.node, self._reader, self._writer, self.moving = node, reader, writer, False
        self._reading = asyncio.create_task(self._read(reader))
        held, self._held = self._held, []
        for data in held:
            writer.write(data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                first, second = await reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
                self._deliver(Arrived(first & 0x0F, await reader.readexactly(size), bool(first & 0x80)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        if not self.moving:
            self._lost()

    def send(self, data: bytes) -> None:
        """Send bytes of the client: now, or when the session has arrived where it is going."""
        if self.moving or self._writer is None:
            self._held.append(data)
        else:
            self._writer.write(data)

    # Planned.

    async def move(self, told: NodeLink, target: Daemon) -> str:
        """Move the session to another node. Returns why it did not, or an empty string."""
        agreed = told.expect(self.session, "detach")
        await told.say(Detach([self.session]))
        answer = await asyncio.wait_for(agreed, _PATIENCE)
        if isinstance(answer, Refused):
            return answer.sessions[self.session]
        assert self._writer is not None
        assert self._reading is not None
        self.moving = True
        released = told.expect(self.session, "release")
        self._writer.write_eof()
        await asyncio.wait_for(self._reading, _PATIENCE)
        answer = await asyncio.wait_for(released, _PATIENCE)
        self._writer.close()
        if isinstance(answer, Refused):
            self._lost()
            return answer.sessions[self.session]
        assert isinstance(answer, Released)
        await self._attach(target, answer.state, answer.residual, "move")
        return ""

    # Without the old node's help.

    async def read_to_end(self) -> None:
        """Deliver what the node said before it ended."""
        if self._reading is not None:
            await asyncio.wait((self._reading,), timeout=_PATIENCE)
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> asyncio.StreamWriter | None:
        """The node does not answer: read no more from it. Returns its connection, which is still open."""
        self.moving = True
        if self._reading is not None:
            self._reading.cancel()
        return self._writer

    async def reattach(self, target: Daemon) -> None:
        """Attach the session elsewhere, by what a proxy knows of it."""
        self.moving = True
        known = Frozen(session=self.session, path=PATH, connected_at=self._opened_at, moves=0, extensions="")
        await self._attach(target, frozen.encode(known), b"", "reattach")

    async def _attach(self, target: Daemon, state: bytes, residual: bytes, reason: str) -> None:
        self.fence += 1
        made = Ticket(session=self.session, fence=self.fence, expires=time.time() + 10, reason=reason)
        tlvs = {
            proxy_protocol.UNIQUE_ID: self.session.encode(),
            proxy_protocol.PROXY_ID: self._proxy_id.encode(),
            proxy_protocol.TICKET: ticket.sign(made, state, SECRET),
        }
        reader, writer = await self._dial(target, tlvs)
        writer.write(state + residual)
        expected = ATTACHED % target.name.encode()
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
        assert answer == expected, answer
        self._take(target, reader, writer)

    def close(self) -> None:
        """The client has left."""
        self.moving = self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._ending = asyncio.create_task(self._end(self._reader, self._writer))

    @staticmethod
    async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """End as a client does that has said goodbye: what the node still says is read, or its last words reset it."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            writer.write_eof()
            async with asyncio.timeout(1):
                while await reader.read(65536):
                    pass
        writer.close()
