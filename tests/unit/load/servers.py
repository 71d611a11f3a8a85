"""Servers for the load engine: well behaved by the `websockets` library, and misbehaving ones, down to raw bytes."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from struct import Struct

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Handler = Callable[[ServerConnection], Awaitable[None]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_STAMP = Struct("!QQ")


def number_of(message: str | bytes) -> int:
    """The number a message carries."""
    assert isinstance(message, bytes)
    number: int = _STAMP.unpack_from(message)[0]
    return number


class Server:
    """A server's address, and what it saw."""

    def __init__(self) -> None:
        self.port = 0
        self.paths: list[str] = []
        """Request targets in order of arrival."""
        self.sources: list[str] = []
        """Client addresses in order of arrival."""
        self.node: Callable[[int], str] = lambda index: "gateway-1"
        """Name to answer as `X-Flux-Node` to the handshake with this index."""
        self.delay: Callable[[int], float] = lambda index: 0.0
        """Seconds before the handshake with this index is answered."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/echo"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Server]:
    """Serve WebSockets with the library; `handler` may let `ConnectionClosed` pass."""
    server = Server()

    async def quiet(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await handler(connection)

    async def note(connection: ServerConnection, request: Request) -> None:
        server.paths.append(request.path)
        server.sources.append(connection.remote_address[0])
        delay = server.delay(len(server.paths) - 1)
        if delay:
            await asyncio.sleep(delay)

    def name(connection: ServerConnection, request: Request, response: Response) -> None:
        response.headers["X-Flux-Node"] = server.node(len(server.paths) - 1)

    async with serve(
        quiet, "127.0.0.1", 0, process_request=note, process_response=name, compression=None, max_size=None,
        ping_interval=None, close_timeout=1,
    ) as listener:  # fmt: skip
        server.port = next(iter(listener.sockets)).getsockname()[1]
        yield server


@asynccontextmanager
async def serving_raw(handler: RawHandler) -> AsyncIterator[Server]:
    """Serve plain TCP; every connection is closed when its handler returns."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(attend(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the opening handshake of a raw connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept + b"\r\n\r\n"
    )  # fmt: skip


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return (first byte, payload) of a client's frame."""
    first, second = await reader.readexactly(2)
    assert second & 0x80
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    key = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first, bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
