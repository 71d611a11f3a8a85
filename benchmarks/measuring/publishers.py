"""Who publishes: by a WebSocket, by HTTP, or by way of Redis as another node does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from socket import socket

from benchmarks.measuring.audience import MARK, Door, subscribed
from benchmarks.measuring.opening import client_socket
from benchmarks.peers import addresses
from flux_gateway.broker.broker import Broker
from flux_gateway.core.errors import CommandError
from flux_gateway.gateway.messaging.channels.retention import retention
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.publication import Publication
from flux_gateway.registry.connect import RedisSettings, connect

DATA = b'{"text":"' + MARK + b"x" * 52 + b'"}'
"""A publication: 64 bytes of JSON."""

Publish = Callable[[int], Awaitable[None]]
"""Hands over so many publications at once."""

_WINDOW = retention(Namespace(), MessagingSettings())
"""What a node keeps of a channel without history."""

_MOST = 32


@asynccontextmanager
async def by_frames(door: Door, frame: bytes) -> AsyncIterator[Publish]:
    """Publish by a WebSocket: as many frames, in one write."""
    loop = asyncio.get_running_loop()
    with await subscribed(door, addresses.CLIENTS[0]) as sock:

        async def publish(number: int) -> None:
            _drain(sock)
            await loop.sock_sendall(sock, frame * number)

        yield publish


@asynccontextmanager
async def by_http(address: tuple[str, int], path: str) -> AsyncIterator[Publish]:
    """Publish by HTTP: each one over a connection of its own that stays open, all written at once."""
    loop = asyncio.get_running_loop()
    head = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: application/json\r\nContent-Length: {len(DATA)}"
    request = head.encode() + b"\r\n\r\n" + DATA
    sockets = [client_socket() for _ in range(_MOST)]
    try:
        for sock in sockets:
            await loop.sock_connect(sock, address)

        async def publish(number: int) -> None:
            for sock in sockets[:number]:
                _drain(sock)
            for sock in sockets[:number]:
                sock.send(request)

        yield publish
    finally:
        for sock in sockets:
            sock.close()


def _drain(sock: socket) -> None:
    """Read the answers to what was published before."""
    with suppress(BlockingIOError):
        sock.recv(65_536)


@asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    """Return a broker on the benchmark's Redis, as a node has it. Raises `CommandError` if Redis does not answer."""
    host, port = addresses.REDIS
    found = Broker(connect(RedisSettings(host=host, port=port)), timeout=5.0, node_id="benchmark")
    try:
        await found.start()
        if not found.available:
            raise CommandError(f"Redis at {host}:{port} does not answer")
        yield found
    finally:
        await found.close()


@asynccontextmanager
async def by_redis(channel: str) -> AsyncIterator[Publish]:
    """Publish as another node does, in one write: so Redis tells the node of all of them at once."""
    async with broker() as mine:

        async def publish(number: int) -> None:
            await asyncio.gather(*(to_window(mine, channel, DATA) for _ in range(number)))

        yield publish


async def to_window(mine: Broker, channel: str, data: bytes) -> None:
    """Publish into a channel without history, as a node does."""
    await mine.publish(channel, Publication(data=data), **_WINDOW._asdict())
