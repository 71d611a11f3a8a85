"""New connections: dial, opening handshake, close. Each with an affinity key of its own."""

import asyncio
import base64
import itertools
import os
import socket
from collections.abc import Callable

from flux_gateway.load.frames import client_frame
from flux_gateway.load.handshake import read_response, request
from flux_gateway.load.plan import Target

_CLOSE = client_frame(0x8, b"\x03\xe8")
_NO_PORT_YET = 24
"""IP_BIND_ADDRESS_NO_PORT (linux/in.h): the port is chosen at connect, per destination."""

_numbers = itertools.count()


async def visit(address: tuple[str, int], source: str, opened: Callable[[], None] = lambda: None) -> None:
    """Open a WebSocket, call `opened`, and close it again.

    Raises `OSError` when the connection breaks, `HandshakeFailed` when no WebSocket comes of it.
    """
    loop = asyncio.get_running_loop()
    target = Target(*address, "/echo", keyed=False)
    nonce = base64.b64encode(os.urandom(16))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        sock.bind((source, 0))
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, request(target, f"visit-{os.getpid()}-{next(_numbers)}", nonce))
        head = b""
        while read_response(head, nonce) is None:
            data = await loop.sock_recv(sock, 4096)
            if not data:
                raise ConnectionResetError("closed during the handshake")
            head += data
        opened()
        await loop.sock_sendall(sock, _CLOSE)
        # The server closes first (RFC 6455, section 7.1.1).
        while await loop.sock_recv(sock, 4096):
            pass
