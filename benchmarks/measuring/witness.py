"""One client whose silence is timed: it asks, and notes how long the answer took."""

import socket
from collections.abc import Callable
from struct import Struct
from time import monotonic

from flux_gateway.core.frames import BINARY, CLOSE
from flux_gateway.load.frames import PING, PONG, FrameReader, client_frame, client_head

_NUMBER = Struct("!Q")
_PADDING = bytes(56)
_HEAD = client_head(BINARY, _NUMBER.size + len(_PADDING))


class Witness:
    """An open connection to `/echo`. Messages are numbered: what comes twice or out of order is noticed."""

    __slots__ = (
        "_ended", "_expected", "_reader", "answered_at", "busy", "longest", "messages_lost", "number", "since", "sock",
        "waiting", "wrong",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, busy: bool, ended: Callable[["Witness"], None]) -> None:
        """A `busy` one asks again as soon as it has its answer. `ended` is called when the other side has ended it."""
        self.sock = sock
        self.busy = busy
        self._ended = ended
        self._reader = FrameReader()
        self.number = self._expected = 0
        self.waiting = False
        self.since = 0.0
        """Since when it waits, monotonic seconds."""
        self.answered_at = 0.0
        """When the last answer came."""
        self.longest = 0.0
        """Seconds of its longest wait."""
        self.messages_lost = self.wrong = 0
        """Messages without an answer, and answers that were doubled or out of order."""

    def ask(self, since: float) -> None:
        """Send a message; if it waits for none yet, its wait counts from `since`."""
        frame = _HEAD + _NUMBER.pack(self.number) + _PADDING
        self.number += 1
        if not self.waiting:
            self.waiting, self.since = True, since
        try:
            sent = self.sock.send(frame)
        except OSError:
            self._ended(self)
            return
        assert sent == len(frame), "a socket takes kilobytes"

    def on_readable(self, _: int) -> None:
        """Read what came."""
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended(self)
            return
        for opcode, payload in self._reader.feed(data):
            if opcode == BINARY:
                self._answered(*_NUMBER.unpack_from(payload))
            elif opcode == PING:
                self.sock.send(client_frame(PONG, payload))
            elif opcode == CLOSE:
                self._ended(self)
                return

    def _answered(self, number: int) -> None:
        now = monotonic()
        if number < self._expected:
            self.wrong += 1
        else:
            self.messages_lost += number - self._expected
            self._expected = number + 1
        self.answered_at = now
        if self.waiting:
            self.waiting = False
            self.longest = max(self.longest, now - self.since)
        if self.busy:
            self.ask(now)
