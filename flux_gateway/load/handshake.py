"""The client's side of the WebSocket opening handshake (RFC 6455, section 4.1). Pure."""

import base64
import hashlib

from flux_gateway.core.errors import FluxError
from flux_gateway.core.http_head import END, response_status
from flux_gateway.load.plan import Target

LIMIT = 16384
"""Bytes of a response head that are read before it counts as broken."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class HandshakeFailed(FluxError):
    """The server did not open a WebSocket. The text is the cause as the report shows it."""


def request(target: Target, key: str, nonce: bytes) -> bytes:
    """Return the request head of a client with affinity key `key`; `nonce` is 16 random bytes in base64."""
    return (
        f"GET {target.path_of(key)} HTTP/1.1\r\nHost: {target.authority}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    ).encode() + nonce + END


def accept_of(nonce: bytes) -> bytes:
    """Return what the server must answer in Sec-WebSocket-Accept."""
    return base64.b64encode(hashlib.sha1(nonce + _GUID, usedforsecurity=False).digest())


def read_response(data: bytes, nonce: bytes) -> tuple[int, str] | None:
    """Return (index of the first byte of frames, value of X-Flux-Node), or None while the head is incomplete.

    Raises `HandshakeFailed`.
    """
    end = data.find(END)
    if end < 0:
        if len(data) > LIMIT:
            raise HandshakeFailed("response head too long")
        if not b"HTTP/1.".startswith(data[:7]):
            raise HandshakeFailed("not an HTTP response")
        return None
    status = response_status(data)
    if status != 101:
        raise HandshakeFailed(f"HTTP {status}" if status else "not an HTTP response")
    headers = {}
    for line in data[:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    if headers.get(b"upgrade", b"").lower() != b"websocket":
        raise HandshakeFailed("101 without Upgrade: websocket")
    if headers.get(b"sec-websocket-accept") != accept_of(nonce):
        raise HandshakeFailed("wrong Sec-WebSocket-Accept")
    return end + len(END), headers.get(b"x-flux-node", b"").decode("latin-1")
