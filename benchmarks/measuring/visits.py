"""New connections: dial, opening handshake, close. Each with an affinity key of its own."""

import asyncio
import itertools
import os
from collections.abc import Callable

from benchmarks.measuring.opening import client_socket, open_websocket
from flux_gateway.load.frames import client_frame

_CLOSE = client_frame(0x8, b"\x03\xe8")

_numbers = itertools.count()


async def visit(address: tuple[str, int], source: str, opened: Callable[[], None] = lambda: None) -> None:
    """Open a WebSocket, call `opened`, and close it again.

    Raises `OSError` when the connection breaks, `HandshakeFailed` when no WebSocket comes of it.
    """
    loop = asyncio.get_running_loop()
    with client_socket() as sock:
        await open_websocket(sock, address, source, f"visit-{os.getpid()}-{next(_numbers)}")
        opened()
        await loop.sock_sendall(sock, _CLOSE)
        # The server closes first (RFC 6455, section 7.1.1).
        while await loop.sock_recv(sock, 4096):
            pass
