"""One WebSocket opened by hand: dial, opening handshake. For clients that are watched closer than a load's."""

import asyncio
import base64
import os
import socket

from flux_gateway.load.handshake import read_response, request
from flux_gateway.load.plan import Target

_NO_PORT_YET = 24
"""IP_BIND_ADDRESS_NO_PORT (linux/in.h): the port is chosen at connect, per destination."""


def client_socket() -> socket.socket:
    """Return a TCP socket that does not block and does not delay."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def open_websocket(
    sock: socket.socket, address: tuple[str, int], source: str, key: str, path: str = "/echo"
) -> str:
    """Dial from a source address and open a path with an affinity key. Returns the node that the answer names.

    The server must say nothing of itself afterwards: `/echo` does not, nor does a messaging server before it is asked.

    Raises `OSError` when the connection breaks, `HandshakeFailed` when no WebSocket comes of it.
    """
    loop = asyncio.get_running_loop()
    nonce = base64.b64encode(os.urandom(16))
    sock.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
    sock.bind((source, 0))
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, request(Target(*address, path, keyed=False), key, nonce))
    head = b""
    while (answer := read_response(head, nonce)) is None:
        data = await loop.sock_recv(sock, 4096)
        if not data:
            raise ConnectionResetError("closed during the handshake")
        head += data
    return answer[1]
