"""A stand-in for a gateway node: PROXY v2, the WebSocket handshake, echo of short text messages, and /readyz.

`stand_in.py NAME HOST PORT ADMIN_PORT`. Its first message says who it is and whom the PROXY header named. While
`/run/stand-in-NAME.draining` exists, /readyz answers 503. Standard library only: the test host has no more.
"""

import asyncio
import base64
import hashlib
import json
import logging
import socket
import struct
import sys
from pathlib import Path

log = logging.getLogger(__name__)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
HEAD_SECONDS = 10
CLOSE = 0x8


def frame(text: bytes) -> bytes:
    """Return an unmasked text frame of at most 125 bytes (RFC 6455, section 5.2)."""
    return bytes((0x81, len(text))) + text


async def client_named(reader: asyncio.StreamReader) -> str:
    """Read the PROXY v2 header and return the client's address. Raises ValueError when there is none."""
    head = await reader.readexactly(16)
    if not head.startswith(SIGNATURE):
        raise ValueError("no PROXY v2 header")
    command, family, length = struct.unpack("!BBH", head[12:])
    body = await reader.readexactly(length)
    if (command, family) != (0x21, 0x11):
        raise ValueError(f"not a proxied TCP over IPv4 connection: {command:#x} {family:#x}")
    return socket.inet_ntoa(body[:4])


class StandIn:
    """One node."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.draining = Path(f"/run/stand-in-{name}.draining")

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection that HAProxy makes for a client."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                address = await client_named(reader)
                head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            accept = base64.b64encode(hashlib.sha1(headers[b"Sec-WebSocket-Key"] + GUID).digest())
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            writer.write(frame(json.dumps({"node": self.name, "client": address}).encode()))
            while await self.echo(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, ValueError) as error:
            log.info("%s: %s %s", self.name, type(error).__name__, error)
        finally:
            writer.close()

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one masked frame of at most 125 bytes back as it came; False when it was a close frame."""
        kind, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        payload = await reader.readexactly(length & 0x7F)
        writer.write(bytes((kind, len(payload))) + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))
        await writer.drain()
        return kind & 0x0F != CLOSE

    async def admin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one health check."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                await reader.readuntil(b"\r\n\r\n")
            status = b"503 Service Unavailable" if self.draining.exists() else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            log.info("%s: %s %s", self.name, type(error).__name__, error)
        finally:
            writer.close()


async def main(name: str, host: str, port: int, admin_port: int) -> None:
    """Serve until killed."""
    node = StandIn(name)
    async with (
        await asyncio.start_server(node.client, host, port) as clients,
        await asyncio.start_server(node.admin, host, admin_port) as admin,
    ):
        await asyncio.gather(clients.serve_forever(), admin.serve_forever())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
