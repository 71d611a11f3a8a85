"""What a connection says, by way of its transport or past it: whole, in order, and to nobody else."""

import asyncio
import random
import select
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

from flux_gateway.core.frames import TEXT, Buffer, encode_frame
from flux_gateway.core.session import Session, Traffic
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.counters import NodeCounters
from flux_gateway.gateway.settings import GatewaySettings
from tests.integration.gateway.wire import frame

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [uvloop.new_event_loop, asyncio.new_event_loop]


class Node:
    """Takes note of connections that are over."""

    def __init__(self) -> None:
        self.settings = GatewaySettings(outbox_limit=1 << 25)
        self.counters = NodeCounters()
        self.over: list[Connection] = []

    def ending(self, connection: Connection) -> None:
        pass

    def release(self, connection: Connection) -> bool:
        return False

    def forget(self, connection: Connection) -> None:
        self.over.append(connection)


class Pair:
    """A connection, and the client's end of it, which is read only when a test wants."""

    def __init__(self) -> None:
        self.node = Node()
        self.connection: Connection

    async def open(self) -> None:
        mine, self.client = socket.socketpair()
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.client.setblocking(False)
        session = Session("s", _echo, connected_at=0.0, max_size=1 << 20, traffic=Traffic())

        def made() -> asyncio.Protocol:
            return _Protocol(self, session)

        await asyncio.get_running_loop().create_connection(made, sock=mine)

    async def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer if the stream ends."""
        loop, data = asyncio.get_running_loop(), b""
        async with asyncio.timeout(5):
            while len(data) < size and (more := await loop.sock_recv(self.client, min(1000, size - len(data)))):
                data += more
        return data

    def unread(self) -> bytes:
        """Return what has come and was not read."""
        try:
            return self.client.recv(65536)
        except BlockingIOError:
            return b""


class _Protocol(asyncio.Protocol):
    """Gives way to the connection, as the opening handshake does."""

    def __init__(self, pair: Pair, session: Session) -> None:
        self._pair, self._session = pair, session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        own = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass of asyncio's
        self._pair.connection = Connection(self._pair.node, own, self._session)
        own.set_protocol(self._pair.connection)


def _echo(session: Session, opcode: int, payload: Buffer) -> bytes:
    return session.frame(opcode, payload)


Scene = Callable[[Pair], Coroutine[Any, Any, None]]
Run = Callable[[Scene], None]


@pytest.fixture(params=LOOPS, ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scene with a fresh pair, on either loop."""

    async def play(scene: Scene) -> None:
        pair = Pair()
        await pair.open()
        try:
            await scene(pair)
        finally:
            pair.connection.transport.abort()
            pair.client.close()
            await asyncio.sleep(0)

    def run(scene: Scene) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(play(scene))

    return run


def _numbered(number: int) -> bytes:
    return encode_frame(TEXT, b"%06d" % number * 20)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_slow_client_is_told_comes_whole_and_in_order(run: Run, seed: int) -> None:
    """Pushes and answers, smaller and larger than the socket's buffer; the client reads now and then."""
    chance = random.Random(seed)

    async def scene(pair: Pair) -> None:
        said, heard = b"", b""
        for number in range(300):
            payload = b"%06d" % number * chance.choice((1, 20, 3000))
            said += encode_frame(TEXT, payload)
            if chance.random() < 0.3:
                pair.connection.data_received(frame(TEXT, payload))
            else:
                pair.connection.send(encode_frame(TEXT, payload))
            # Before the loop has had its turn: what waits in the transport is still there.
            while chance.random() < 0.7:
                heard += pair.unread()
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        heard += await pair.read(len(said) - len(heard))
        assert heard == said

    run(scene)


def test_nothing_follows_a_close_frame(run: Run) -> None:
    async def scene(pair: Pair) -> None:
        pair.connection.send(_numbered(1))
        pair.connection.send(_numbered(2))
        pair.connection.close(1001, "")
        pair.connection.send(_numbered(3))
        said = _numbered(1) + _numbered(2) + b"\x88\x02\x03\xe9"
        assert await pair.read(len(said)) == said
        pair.connection.data_received(frame(0x8, b"\x03\xe9"))
        pair.connection.send(_numbered(4))
        assert await pair.read(100) == b""

    run(scene)


def test_nothing_follows_what_the_client_has_ended(run: Run) -> None:
    async def scene(pair: Pair) -> None:
        pair.connection.send(_numbered(1))
        pair.connection.data_received(frame(0x8, b"\x03\xe8"))
        pair.connection.send(_numbered(2))
        said = _numbered(1) + b"\x88\x02\x03\xe8"
        assert await pair.read(1000) == said

    run(scene)


def test_nothing_is_said_to_a_client_that_has_ended_its_stream(run: Run) -> None:
    async def scene(pair: Pair) -> None:
        pair.connection.send(_numbered(1))
        pair.connection.eof_received()
        pair.connection.send(_numbered(2))
        assert await pair.read(len(_numbered(1))) == _numbered(1)
        assert pair.unread() == b""

    run(scene)


def test_a_client_that_is_gone_is_noticed_by_writing_to_it(run: Run) -> None:
    async def scene(pair: Pair) -> None:
        pair.connection.send(_numbered(1))
        pair.connection.hold()  # so that nothing is learnt by reading
        pair.client.close()
        async with asyncio.timeout(5):
            while not pair.node.over:
                pair.connection.send(_numbered(2))
                await asyncio.sleep(0.01)

    run(scene)


def test_nobody_else_hears_what_was_for_a_connection_that_is_over(run: Run) -> None:
    """The next socket gets the number of the one that was closed."""

    async def scene(pair: Pair) -> None:
        pair.connection.send(_numbered(1))
        number = pair.connection.transport.get_extra_info("socket").fileno()
        pair.client.close()
        async with asyncio.timeout(5):
            while not pair.node.over:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # the socket is closed
        others = [one for _ in range(5) for one in socket.socketpair()]
        try:
            assert number in {one.fileno() for one in others}
            pair.connection.send(_numbered(2))
            assert select.select(others, [], [], 0.05)[0] == []
        finally:
            for one in others:
                one.close()

    run(scene)
