"""What a client has sent since its last message boundary: the bytes that travel with a session that moves.

The node that thaws the session reads these bytes again, as if the client had sent them there. So nothing may be among
them that has had its effect already: whole control frames are left out, since a ping would be answered twice.
"""

from flux_gateway.core.frames import LENGTH, WHOLE

_FIN, _CONTROL, _MASK = 0x80, 0x08, 0x80
_LONGEST_CONTROL = 125

_DROP, _KEEP, _END = range(3)
"""What becomes of a frame when it is whole: it leaves no trace, it is part of a message, it ends one."""

_SLACK = 65_536


_MOST = 4 * 2**20


def limit_for(max_message: int) -> int:
    """Return how many bytes to carry at most, when a message has up to `max_message`: its frames have headers, too.

    However large messages may be, no more than 4 MiB are carried: what goes over a link must leave room for others.
    """
    return min(max_message, _MOST) + _SLACK


class Residue:
    """Follows a client's stream and keeps the frames of the unfinished message, and the unfinished frame as it stands.

    Left out are whole control frames, and empty continuation frames: a client may send those without end. What the
    protocol forbids is not judged here: the session ends by it, and an ended session does not move.
    """

    __slots__ = ("_fate", "_header", "_kept", "_limit", "_missing", "_start", "idle", "over")

    def __init__(self, limit: int) -> None:
        self.idle = True
        """The stream stands at a message boundary: there is nothing to carry, and one more whole message or control
        frame changes nothing (see `core.frames.WHOLE`)."""
        self._limit = limit
        self._kept: bytearray | None = None
        self._start = 0
        """Where in `_kept` the unfinished frame starts."""
        self._header = b""
        """The part of a frame header that does not yet tell the frame's length."""
        self._missing = 0
        """Bytes to the end of the unfinished frame; 0 at a frame boundary and inside a header."""
        self._fate = _DROP
        """Of the unfinished frame."""
        self.over = False
        """By their headers, the message's frames exceed the limit: only their boundaries are followed."""

    @property
    def raw(self) -> bytes | None:
        """The bytes to carry; None while the unfinished message exceeds the limit."""
        if self.over:
            return None
        return bytes(self._kept or b"") + self._header

    def take(self, data: bytes) -> None:
        """Follow the next bytes of the stream, in whatever pieces they come."""
        at = 0
        if self.idle:
            at = _skip(data)
            if at == len(data):
                return
        elif self._header:
            data, self._header = self._header + data, b""
        elif self._missing:
            at = self._go_on(data)
        size = len(data)
        while at < size:
            header, payload = _measure(data, at, size)
            if not header:
                self._header = data[at:]
                break
            end = at + header + payload
            fate = _fate(data[at], payload)
            if end > size or fate == _KEEP:
                self._begin(fate, end - at)
                self._go_on(data[at:end])
            elif fate == _END:
                self._reset()
            at = end
        self.idle = not (self._kept or self._header or self._missing or self.over)

    def _begin(self, fate: int, length: int) -> None:
        """Start a frame of so many bytes."""
        self._fate, self._missing = fate, length
        if self._kept is None:
            self._kept = bytearray()
        self._start = len(self._kept)
        # A control frame does not count: it is short, and gone when it is whole.
        if self.over or (fate != _DROP and self._start + length > self._limit):
            self.over, self._kept = True, None

    def _go_on(self, data: bytes) -> int:
        """Take more of the unfinished frame; return where in `data` it ends, or how much there is."""
        end = min(self._missing, len(data))
        if self._kept is not None:
            self._kept += data[:end]
        self._missing -= end
        if not self._missing:
            if self._fate == _END:
                self._reset()
            elif self._fate == _DROP and self._kept is not None:
                del self._kept[self._start :]
                self._kept = self._kept or None
        return end

    def _reset(self) -> None:
        """The message has ended."""
        self._kept, self.over = None, False


def _skip(data: bytes) -> int:
    """Return where in a burst, after whole messages and control frames, something else begins.

    The hot path beside a single short frame, which does not even come here; so it is written out, up to 64 KiB.
    """
    at, size = 0, len(data)
    while size - at > 1 and WHOLE[data[at]]:
        second = data[at + 1]
        end = at + LENGTH[second]
        if end < at:
            if second != _MASK | 126 or size - at < 4:
                break
            end = at + 8 + (data[at + 2] << 8 | data[at + 3])
        if end > size:
            break
        at = end
    return at


def _measure(data: bytes, at: int, size: int) -> tuple[int, int]:
    """Return (header with mask, payload) of the frame at `at`, in bytes; (0, 0) when the header does not tell yet."""
    if size - at < 2:
        return 0, 0
    second = data[at + 1]
    mask, short = (4 if second & _MASK else 0), second & 0x7F
    if short < 126:
        return 2 + mask, short
    head = 4 if short == 126 else 10
    if size - at < head:
        return 0, 0
    return head + mask, int.from_bytes(data[at + 2 : at + head], "big")


def _fate(first: int, payload: int) -> int:
    if first & _CONTROL and payload <= _LONGEST_CONTROL:
        return _DROP
    if first & _FIN:
        return _END
    return _KEEP if payload or first & 0x0F else _DROP
