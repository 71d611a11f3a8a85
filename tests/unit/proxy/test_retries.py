"""Retries under faked links: real sockets, nodes that refuse, hang up, stay silent or say 503."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from flux_gateway.core.balance import Bounds
from flux_gateway.core.liveness import LinkPolicy
from flux_gateway.core.membership import Snapshot
from flux_gateway.core.slots import slot_of
from flux_gateway.proxy.counters import ProxyCounters
from flux_gateway.proxy.listener import Listener
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.router import Router
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.proxy.switchboard import Switchboard
from tests.unit.proxy.test_router import link_up, record

HOST = "127.0.0.1"
REQUEST = (
    b"GET /echo?session=alice HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nX-Flux-Node: good\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the handshake, then stay until the proxy leaves."""
    await reader.readuntil(b"\r\n\r\n\0\r\nQUIT\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ACCEPT)
    await reader.read()


async def say_503(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take no new sessions."""
    await reader.readuntil(b"QUIT\n")
    writer.write(UNAVAILABLE)
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without an answer, as a process that dies just then."""


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the connection and never answer, as a process that hangs."""
    await reader.read()


class World:
    """A switchboard in front of two nodes: `bad` always ranks first."""

    def __init__(self, bad: Behaviour | None) -> None:
        self.bad = bad
        self.counters = ProxyCounters()
        self.router = Router(Bounds(floor=1000), LinkPolicy())
        settings = ProxySettings(dial_timeout=0.3, answer_timeout=0.3, head_timeout=0.5)
        self.board = Switchboard(settings, self.router, self.counters)
        self.listener = Listener(self.board)
        self.port = 0

    async def ask(self) -> bytes:
        """Connect as a client; return the head of the answer."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(REQUEST)
            return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        finally:
            writer.close()
            await writer.wait_closed()


async def _serve(behaviour: Behaviour) -> tuple[asyncio.Server, int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    return server, server.sockets[0].getsockname()[1]


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def world(bad: Behaviour | None, good: Behaviour | None = accept) -> AsyncIterator[World]:
    """Two nodes behind a switchboard, the first choice with a behaviour of its own (None: refuses to connect)."""
    made, servers, ports = World(bad), [], []
    for behaviour in (bad, good):
        if behaviour is None:
            ports.append(free_port())
            continue
        server, port = await _serve(behaviour)
        servers.append(server)
        ports.append(port)
    # Whichever ranks first for the key gets the bad port.
    made.router.update(Snapshot({name: record(name) for name in ("a", "b")}))
    for node in made.router.nodes.values():
        link_up(node)
    for node, port in zip(list(made.router.targets(slot_of(b"alice"))), ports, strict=True):
        node.record = msgspec.structs.replace(node.record, port=port)
    made.port = free_port()
    made.listener.open(HOST, made.port, 16)
    made.listener.accept()
    try:
        yield made
    finally:
        made.listener.close()
        made.board.close()
        for server in servers:
            server.close()
            await server.wait_closed()


@pytest.mark.parametrize("bad", [None, say_503, hang_up, stay_silent])
def test_the_client_is_served_by_the_next_rank_and_notices_nothing(bad: Behaviour | None) -> None:
    async def run() -> None:
        async with world(bad) as made:
            assert await made.ask() == ACCEPT
            assert made.counters.retries == 1
            failures = [node.dial_failures for node in made.router.targets(slot_of(b"alice"))]
            assert failures == [1, 0]

    asyncio.run(run())


def test_a_node_whose_link_falls_is_left_at_once() -> None:
    async def run() -> None:
        async with world(stay_silent) as made:
            made.board._answers.seconds = 60.0
            asking = asyncio.create_task(made.ask())
            first: Node = next(made.router.targets(slot_of(b"alice")))
            while not first.opening:
                await asyncio.sleep(0.01)
            made.router.lost(first, False)
            assert await asking == ACCEPT

    asyncio.run(run())


def test_without_any_node_the_client_is_told_when_to_come_back() -> None:
    async def run() -> None:
        async with world(None, None) as made:
            answer = await made.ask()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1" in answer

    asyncio.run(run())
