"""The client's side of RFC 6455 framing: frames to a server, messages from a server. Pure."""

from struct import pack

from flux_gateway.core.errors import FluxError
from flux_gateway.core.frames import BINARY, CLOSE, TEXT, Buffer

PING = 0x9
PONG = 0xA
LARGEST = 1 << 26
"""Payload bytes a server's message may have."""

_KEY = bytes(4)
# The masking key of every frame is zero, so a payload goes out as it is, from one template. The key exists to keep
# attacker-chosen bytes from looking like HTTP to intermediaries (RFC 6455, section 10.3); nobody chooses ours. The
# server's work is the same: it cannot know before it looks.


class Violation(FluxError):
    """A server sent what RFC 6455 forbids. `code` is the close code that tells it so."""

    def __init__(self, text: str, code: int = 1002) -> None:
        self.code = code
        super().__init__(text)


def client_head(opcode: int, size: int) -> bytes:
    """Return the header, masking key included, of a final frame with `size` bytes of payload."""
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + _KEY
    if size < 0x10000:
        return pack("!BBH", 0x80 | opcode, 0x80 | 126, size) + _KEY
    return pack("!BBQ", 0x80 | opcode, 0x80 | 127, size) + _KEY


def client_frame(opcode: int, payload: Buffer) -> bytes:
    """Return a whole masked frame."""
    return client_head(opcode, len(payload)) + bytes(payload)


def server_head(opcode: int, size: int) -> bytes:
    """Return the header a server must put before a whole message of `size` bytes (shortest length form)."""
    head = client_head(opcode, size)[: -len(_KEY)]
    return bytes((head[0], head[1] & 0x7F)) + head[2:]


def close_code(payload: bytes) -> int:
    """Return the code in a close frame's payload, 1005 when there is none (RFC 6455, section 7.1.5)."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005


class FrameReader:
    """Cuts a server's stream into messages and control frames, in whatever pieces it comes."""

    __slots__ = ("_buffer", "_opcode", "_parts")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._opcode = 0
        self._parts: list[bytes] = []

    @property
    def idle(self) -> bool:
        """Tell whether nothing is kept: the stream stands between two messages."""
        return not self._buffer and not self._opcode

    def feed(self, data: Buffer) -> list[tuple[int, bytes]]:
        """Return (opcode, payload) of every message and control frame that `data` completes. Raises `Violation`."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[int, bytes]] = []
        at = 0
        while len(buffer) - at >= 2:
            first, second = buffer[at], buffer[at + 1]
            _check_head(first, second)
            size, body = second, at + 2
            if second >= 126:
                body += 2 if second == 126 else 8
                if len(buffer) < body:
                    break
                size = int.from_bytes(buffer[at + 2 : body], "big")
                if size > LARGEST:
                    raise Violation(f"a frame of {size} bytes", 1009)
            if len(buffer) < body + size:
                break
            at = body + size
            self._take(first, bytes(buffer[body:at]), found)
        del buffer[:at]
        return found

    def _take(self, first: int, payload: bytes, found: list[tuple[int, bytes]]) -> None:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            found.append((opcode, payload))
            return
        if (opcode == 0) != bool(self._opcode):
            raise Violation("a continuation of nothing" if opcode == 0 else "a new message within a message")
        if opcode and first & 0x80:
            found.append((opcode, payload))
            return
        self._opcode = opcode or self._opcode
        self._parts.append(payload)
        if first & 0x80:
            found.append((self._opcode, b"".join(self._parts)))
            self._opcode = 0
            self._parts = []


def _check_head(first: int, second: int) -> None:
    opcode = first & 0x0F
    if first & 0x70:
        raise Violation("reserved bits without an extension")
    if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
        raise Violation(f"unknown opcode {opcode}")
    if second & 0x80:
        raise Violation("a masked frame from a server")
    if opcode >= CLOSE and (second > 125 or not first & 0x80):
        raise Violation("a control frame that is long or fragmented")
