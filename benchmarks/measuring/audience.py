"""Many subscribers that only count: one epoll set for all of them, one read per arrival.

The set is looked at every millisecond, unless it is about latency. If it were waited for, the server's sends would have
to wake this process, which no send to a client elsewhere has to; and the slower the server, the more often.
"""

import asyncio
import os
import select
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from socket import socket
from typing import NamedTuple, TypeVar

from benchmarks.measuring.opening import client_socket, open_websocket
from benchmarks.peers import addresses
from flux_gateway.core.errors import CommandError
from flux_gateway.load.handshake import HandshakeFailed

MARK = b"^"
"""Every publication of the benchmark holds it once, and nothing else that a server sends: one byte is never torn."""

_DIALLERS = 32
"""Connections being opened at the same time."""
_PATIENCE = 20.0
_LOOK = 0.001
_CHUNK = 65_536


class Door(NamedTuple):
    """Where and how one subscribes."""

    address: tuple[str, int]
    path: str
    hello: bytes = b""
    """Sent when the WebSocket is open."""
    ready: bytes = b""
    """In the answer to it once the subscription stands."""
    node: str = ""
    """The node to land on, where several are behind the address; keys are tried until one leads there."""


class Audience:
    """Subscribers of one server. `prompt`: look as soon as something comes."""

    def __init__(self, *, prompt: bool = False) -> None:
        self.heard = 0
        """Publications that have come, all subscribers together."""
        self._epoll = select.epoll()
        self._sockets: dict[int, socket] = {}
        self._expected = 0
        self._all_there: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        if prompt:
            self._loop.add_reader(self._epoll.fileno(), self._read)
        self._looking = None if prompt else asyncio.create_task(self._look(), name="audience")

    def __len__(self) -> int:
        return len(self._sockets)

    @property
    def missing(self) -> int:
        """How many publications have not come yet."""
        return self._expected - self.heard

    async def open(self, doors: Sequence[Door]) -> None:
        """Subscribe once for each door. Raises `CommandError` if one cannot."""
        numbers = iter(range(len(doors)))

        async def dial() -> None:
            for number in numbers:
                sock = await subscribed(doors[number], addresses.CLIENTS[number % len(addresses.CLIENTS)])
                self._sockets[sock.fileno()] = sock
                self._epoll.register(sock.fileno(), select.EPOLLIN)

        tasks = [asyncio.create_task(dial(), name="dial") for _ in range(min(_DIALLERS, len(doors)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Hang up on everybody."""
        if self._looking is None:
            self._loop.remove_reader(self._epoll.fileno())
        else:
            self._looking.cancel()
        self._epoll.close()
        for sock in self._sockets.values():
            sock.close()

    def expect(self, publications: int) -> "asyncio.Future[None]":
        """Return what is done when so many more have come. To be called before they are published."""
        self._expected = self.heard + publications
        self._all_there = self._loop.create_future()
        return self._all_there

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self._read()

    def take(self, data: bytes) -> int:
        """Return how many publications are in what a subscriber has read."""
        return data.count(MARK)

    def _read(self) -> None:
        read, take = os.read, self.take
        for descriptor, _ in self._epoll.poll(0, 4096):
            try:
                data = read(descriptor, _CHUNK)
            except ConnectionError:
                data = b""
            if not data:
                self._fail(CommandError("a subscriber was closed: the figures would mean nothing"))
                self._epoll.unregister(descriptor)
            self.heard += take(data)
        waiting = self._all_there
        if waiting is not None and self.heard >= self._expected and not waiting.done():
            if self.heard > self._expected:
                self._fail(CommandError(f"{self.heard - self._expected} publications came twice"))
            else:
                waiting.set_result(None)

    def _fail(self, error: CommandError) -> None:
        if self._all_there is not None and not self._all_there.done():
            self._all_there.set_exception(error)


async def subscribed(door: Door, source: str) -> socket:
    """Return the connection of a client that has gone through a door. Raises `CommandError`."""
    host, port = door.address
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                sock = client_socket()
                try:
                    node = await open_websocket(sock, door.address, source, os.urandom(8).hex(), door.path)
                    if door.node in ("", node):
                        await _greet(sock, door)
                        return sock
                except BaseException:
                    sock.close()
                    raise
                sock.close()
    except (OSError, HandshakeFailed) as error:  # TimeoutError is an OSError
        cause = str(error) or type(error).__name__
        raise CommandError(f"a client of {host}:{port} cannot subscribe: {cause}") from error


async def _greet(sock: socket, door: Door) -> None:
    if not door.hello:
        return
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, door.hello)
    answer = b""
    while door.ready not in answer:
        data = await loop.sock_recv(sock, _CHUNK)
        if not data:
            raise ConnectionResetError(f"closed after {answer!r}")
        answer += data


A = TypeVar("A", bound=Audience)


@asynccontextmanager
async def audience(doors: Sequence[Door]) -> AsyncIterator[Audience]:
    """Subscribe through these doors; leave at the end."""
    async with gathered(Audience(), doors) as found:
        yield found


@asynccontextmanager
async def gathered(found: A, doors: Sequence[Door]) -> AsyncIterator[A]:
    """The same for an audience of another kind."""
    try:
        await found.open(doors)
        yield found
    finally:
        found.close()
