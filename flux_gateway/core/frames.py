"""WebSocket frames on the wire (RFC 6455, section 5.2): boundaries of a stream, and frames a server sends."""

from struct import pack

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8

Buffer = bytes | bytearray | memoryview

_FIN = 0x80
_MASK = 0x80

WHOLE: bytes = bytes(first in (0x81, 0x82, 0x89, 0x8A) for first in range(256))
"""By first byte: a frame that by itself starts and ends a message, or a ping or pong; no state follows from it."""

LENGTH: list[int] = [
    -1 if second & 0x7F > 125 else 2 + (4 if second & _MASK else 0) + (second & 0x7F) for second in range(256)
]
"""By second byte: length in bytes of the whole frame, or -1 when the length needs more bytes than two."""

_SHORT = {
    opcode: [bytes((_FIN | opcode, size)) for size in range(126)] for opcode in (TEXT, BINARY, CLOSE, 0x9, 0xA)
}


class FrameTracker:
    """Follows one direction of a WebSocket stream from header to header, without looking at payloads.

    `rest` is 0 exactly at a frame boundary, -1 inside a frame header, else the payload bytes still to come.
    """

    __slots__ = ("closed", "fragmented", "header", "rest")

    def __init__(self) -> None:
        self.rest = 0
        self.header = b""
        self.fragmented = False
        """A message has begun whose last fragment has not been seen."""
        self.closed = False
        """A close frame has passed (perhaps not yet all of its payload)."""

    def feed(self, data: Buffer, start: int, size: int) -> None:
        """Walk over `data[start:size]`, the next bytes of the stream, in whatever pieces they come."""
        at = start
        if self.rest > 0:
            if self.rest >= size - at:
                self.rest -= size - at
                return
            at += self.rest
            self.rest = 0
        elif self.rest < 0:
            self.rest = 0
            at = self._finish_header(data, at, size)
        while at < size:
            at = self._walk_header(data, at, size)
        if at > size:
            self.rest = at - size

    def _finish_header(self, data: Buffer, at: int, size: int) -> int:
        """Complete the header kept from the last piece and return where its frame ends, as an index into `data`."""
        kept = len(self.header)
        header = self.header + bytes(data[at : min(size, at + 14)])
        self.header = b""
        end = self._walk_header(header, 0, len(header))
        # An incomplete header again: all of this piece is in it.
        return size if self.header else at - kept + end

    def _walk_header(self, data: Buffer, at: int, size: int) -> int:
        """Take the header at `at`; return the index where its frame ends, or `size` when the header is incomplete."""
        if size - at >= 2:
            length = LENGTH[data[at + 1]]
            if length >= 0:
                self._note(data[at])
                return at + length
            extended = 2 if data[at + 1] & 0x7F == 126 else 8
            head = 2 + extended
            if size - at >= head:
                self._note(data[at])
                masked = 4 if data[at + 1] & _MASK else 0
                return at + head + masked + int.from_bytes(data[at + 2 : at + head], "big")
        self.header = bytes(data[at:size])
        self.rest = -1
        return size

    def _note(self, first: int) -> None:
        opcode = first & 0x0F
        if opcode < CLOSE:
            self.fragmented = not first & _FIN
        elif opcode == CLOSE:
            self.closed = True


def encode_frame(opcode: int, payload: Buffer) -> bytes:
    """Return one final, unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return _SHORT[opcode][size] + payload
    if size < 0x10000:
        return pack("!BBH", _FIN | opcode, 126, size) + payload
    return pack("!BBQ", _FIN | opcode, 127, size) + payload


def encode_close(code: int, reason: str) -> bytes:
    """Return a server's close frame. `reason` is cut to the 123 bytes that RFC 6455 leaves for it."""
    # Cut between characters: half of one would be invalid UTF-8, which the client would have to refuse.
    return encode_frame(CLOSE, pack("!H", code) + reason.encode()[:123].decode(errors="ignore").encode())
