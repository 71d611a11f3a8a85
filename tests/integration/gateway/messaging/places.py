"""Nodes with messaging in this process, and clients whose proxy the test is: it breaks, moves and reattaches them.

Clients speak JSON over sockets of the test's own, so that they also can be silent, or not read.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self
from uuid import uuid4

import jwt

from flux_gateway.broker.broker import Broker
from flux_gateway.core import frozen, proxy_protocol, ticket
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.link import Detaching, Refused, Released, ToProxy
from flux_gateway.core.ticket import Ticket
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.composition import MessagingPart
from flux_gateway.gateway.messaging.endpoint import PATH
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.node import Node
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.messaging.state import ClientState, encode
from flux_gateway.registry.connect import RedisSettings, connect
from tests.integration.gateway.wire import CLOSE, TEXT, frame, request
from tests.processes import PORT, REDIS_PORT, TOKEN, Stack

SECRET = "secret-of-the-tokens-0123456789-abcdef"
PATIENCE = 5.0
"""Seconds for anything to arrive."""


def token(user: str = "ann", **claims: Any) -> str:
    """Return a token that these nodes believe."""
    return jwt.encode({"sub": user, **claims}, SECRET)


async def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


class Place:
    """One node. The proxies of its stack are believed."""

    def __init__(self, stack: Stack, number: int, gateway: Mapping[str, Any], messaging: Mapping[str, Any]) -> None:
        self.stack = stack
        settings = GatewaySettings(
            id=f"gateway-{number}", host=stack.host(1, number), port=PORT,
            trusted_proxies=(stack.host(2, 0) + "/24",), **gateway,
        )  # fmt: skip
        self.node = Node(settings, TOKEN.encode())
        redis = RedisSettings(host=stack.host(3, 1), port=REDIS_PORT)
        self.broker = Broker(connect(redis), timeout=2.0, node_id=settings.id)
        self._part = MessagingPart(self.node, MessagingSettings(**messaging), self.broker)
        self.endpoint = self._part.endpoint

    @property
    def channels(self) -> list[str]:
        """Channels that are heard here."""
        return [*self.endpoint.parts.hub.channels]

    def client(self, seat: "Seat") -> Client:
        """Return the node's side of a client."""
        (client,) = (one for one in self.endpoint.clients if one.session_id == seat.session)
        return client

    async def start(self) -> None:
        """Listen."""
        await self._part.start()
        await self.node.listen()
        self.node.enter(NodeState.UP)

    async def stop(self) -> None:
        """End it."""
        await self.node.close()
        await self._part.close()


_writers: list[asyncio.StreamWriter] = []
"""Of all connections of the running test."""


class Seat:
    """A client's session, and its proxy's connection to the node that holds it."""

    def __init__(self, session: str = "") -> None:
        self.session = session or uuid4().hex
        self.id = ""
        """Of the client, once it has connected."""
        self.heard: list[Any] = []
        """What came while an answer was waited for."""
        self._records, self._number = list[Any](), 0

    async def _to(self, place: Place, tlvs: Mapping[int, bytes], data: bytes, buffer: int = 0) -> bytes:
        """Open a connection to the node, and return the head of its answer."""
        one = socket.socket()
        if buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        one.bind((place.stack.host(2, 1), 0))
        one.setblocking(False)
        address = (place.node.settings.host, PORT)
        await asyncio.get_running_loop().sock_connect(one, address)
        self._reader, self.writer = await asyncio.open_connection(sock=one, limit=65_536)
        _writers.append(self.writer)
        own = {proxy_protocol.UNIQUE_ID: self.session.encode(), proxy_protocol.PROXY_ID: b"proxy-1", **tlvs}
        self.writer.write(proxy_protocol.encode(("203.0.113.7", 4711), address, own) + data)
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)

    async def open(self, place: Place, *, buffer: int = 0) -> Self:
        """Come as a new client that has not connected yet. `buffer`: what the kernel may take for it, in bytes."""
        assert (await self._to(place, {}, request(PATH), buffer)).startswith(b"HTTP/1.1 101 ")
        return self

    async def connect(self, place: Place, *, buffer: int = 0, **fields: Any) -> Self:
        """Come as a new client, and connect."""
        await self.open(place, buffer=buffer)
        self.id = (await self.ask("connect", **fields))["connect"]["client"]
        return self

    async def attach(self, place: Place, state: bytes, fence: int = 1, reason: str = "move") -> Self:
        """Go to a node with what another one has said of the session, in a new connection."""
        signed = ticket.sign(Ticket(self.session, fence, time.time() + 10, reason), state, TOKEN.encode())
        head = await self._to(place, {proxy_protocol.TICKET: signed}, state)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return self

    async def reattach(self, place: Place, fence: int = 1) -> Self:
        """Go on at a node when the one before was lost: all that is known is that there is such a session."""
        return await self.attach(place, self.frozen(), fence, "reattach")

    def frozen(self, kept: ClientState | None = None) -> bytes:
        """Return the session as a node would have frozen it."""
        application = encode(kept) if kept is not None else b""
        return frozen.encode(Frozen(
            session=self.session, path=PATH, connected_at=time.time(), moves=0, extensions="", application=application,
        ))  # fmt: skip

    def begin_move(self, place: Place) -> list[ToProxy]:
        """Ask the node for the session, and end its stream; return where the node's answers will be."""
        said: list[ToProxy] = []
        place.node.moves.detach([self.session], said.append)
        if isinstance(said[0], Detaching):
            self.writer.write_eof()
        return said

    async def move(self, start: Place, there: Place, fence: int = 1) -> Self:
        """Go from one node to another; what the first one has still said is in `heard`."""
        said = self.begin_move(start)
        await until(lambda: len(said) > 1 or isinstance(said[0], Refused), "the node's answer")
        released = said[-1]
        assert isinstance(released, Released), said
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                self.heard.append(await self.read())
        return await self.attach(there, released.state + released.residual, fence)

    def lose(self) -> None:
        """Break the connection, as a proxy does that does not hear from the node any more."""
        self.writer.transport.abort()

    def say(self, *commands: Any) -> None:
        """Send commands in one frame; `{}` is a pong."""
        self.writer.write(frame(TEXT, "\n".join(map(json.dumps, commands))))

    async def read(self, patience: float = PATIENCE) -> Any:
        """Return the next record, or `{"closed": code}`."""
        while not self._records:
            async with asyncio.timeout(patience):
                first, size = await self._reader.readexactly(2)
                if size > 125:
                    size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
                payload = await self._reader.readexactly(size)
            if first & 15 == CLOSE:
                return {"closed": int.from_bytes(payload[:2], "big")}
            self._records = [json.loads(line) for line in payload.splitlines()]
        return self._records.pop(0)

    async def ask(self, name: str, **fields: Any) -> Any:
        """Send a command and return its reply; what comes before it is in `heard`. Pings are answered."""
        self._number += 1
        self.say({"id": self._number, name: fields})
        while (said := await self.read()).get("id") != self._number:
            assert "closed" not in said, said
            if said:
                self.heard.append(said)
            else:
                self.say({})
        return said

    async def hear(self, kind: str) -> Any:
        """Return the next push but for pings, which must be of this kind."""
        while not (said := self.heard.pop(0) if self.heard else await self.read()):
            self.say({})
        return said["push"][kind]

    async def end(self) -> Any:
        """Return the close code, which must come next."""
        return (await self.read())["closed"]

    async def quiet(self, seconds: float = 0.3) -> None:
        """For so long nothing must come but pings, which are answered."""
        assert self.heard == []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (said := await self.read()) == {}:
                    self.say({})
                raise AssertionError(said)


@contextlib.asynccontextmanager
async def running(
    stack: Stack, *, nodes: int = 1, tokens: bool = False, gateway: Mapping[str, Any] | None = None, **messaging: Any
) -> AsyncIterator[list[Place]]:
    """So many nodes, and the Redis of their stack. Unless `tokens` are needed everything is allowed to everybody."""
    secret = stack.token_file.with_name("hmac")
    secret.write_text(SECRET)
    rights = {"token_hmac_file": str(secret)} if tokens else {"insecure": True}
    places = [Place(stack, number + 1, gateway or {}, rights | messaging) for number in range(nodes)]
    try:
        for place in places:
            await place.start()
        yield places
    finally:
        for writer in _writers:
            writer.transport.abort()
        for place in places:
            await place.stop()
        await asyncio.gather(*(writer.wait_closed() for writer in _writers), return_exceptions=True)
        _writers.clear()


def run(stack: Stack, body: Callable[..., Awaitable[None]], **settings: Any) -> None:
    """Run a test, which gets the nodes."""

    async def main() -> None:
        async with running(stack, **settings) as places:
            await body(*places)

    asyncio.run(main())
