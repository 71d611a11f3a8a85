"""One client: a socket on the poller, the WebSocket spoken over it, and the ledger of its messages.

    dial -> _connected -> _response -> _message ... -> (close frame either way) -> _lingering -> closed

Each step is the poller's handler for the socket. Whatever ends a connection ends in `_release`.
"""

import base64
import errno
import os
import socket
from struct import pack
from time import monotonic, monotonic_ns

from flux_gateway.core.frames import BINARY, CLOSE, TEXT
from flux_gateway.load.frames import PING, PONG, FrameReader, Violation, client_frame, close_code
from flux_gateway.load.handshake import HandshakeFailed, read_response, request
from flux_gateway.load.ledger import Ledger
from flux_gateway.load.plan import MIN_SIZE
from flux_gateway.load.run import STAMP, Run
from flux_gateway.runtime.poller import IN, OUT, Handler

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; the port is chosen at connect, per destination

_CAUSES = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    errno.EADDRNOTAVAIL: "no such local address or no port left on it",
    errno.EMFILE: "no file descriptor left",
    errno.ENFILE: "no file descriptor left",
}

_pack_stamp = STAMP.pack_into
_unpack_stamp = STAMP.unpack_from


def _cause(error: int) -> str:
    return _CAUSES.get(error) or os.strerror(error).lower()


class Client:
    """Client number `index` of a run."""

    __slots__ = (
        "_code", "_head", "_ledger", "_nonce", "_ours", "_reader", "_run", "_sock", "_unsent",
        "failures", "index", "node", "open",
    )  # fmt: skip

    def __init__(self, run: Run, index: int) -> None:
        self._run = run
        self.index = index
        self.open = False
        """The handshake is complete and nobody has begun to close."""
        self.node: str | None = None
        """The node of the present or last connection."""
        self.failures = 0
        """Attempts since the last open connection."""
        self._ledger = Ledger(run.tally)
        self._sock: socket.socket | None = None
        self._unsent = b""
        """The rest of a frame of which the socket took a part."""
        self._reader: FrameReader | None = None
        """Present only while the stream stands inside a message."""
        self._nonce = b""
        self._head = b""
        self._ours = False
        """This side began the close; its end is not counted yet."""
        self._code = 1006
        """The code of the server's close frame."""

    def oldest(self) -> int | None:
        """Return when the longest waiting message was sent, in monotonic nanoseconds."""
        return self._ledger.oldest()

    # Opening.

    def dial(self) -> None:
        """Begin to connect."""
        run = self._run
        if self.node is not None:  # it was connected before: from here on its return is timed, retries included
            run.returning.setdefault(self, monotonic())
        source = run.plan.sources[self.index % len(run.plan.sources)] if run.plan.sources else None
        try:
            sock = self._sock = socket.socket(run.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source is not None:
                sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
            error = sock.connect_ex(run.address)
            if error not in (0, errno.EINPROGRESS):
                raise OSError(error, os.strerror(error))
        except OSError as failure:
            self._fail(_cause(failure.errno or 0))
            return
        run.dialling.add(self, monotonic())
        run.poller.register(sock.fileno(), OUT, self._connected)

    def give_up(self) -> None:
        """The time for dialling and the handshake is over."""
        self._fail("timeout")

    def _fail(self, cause: str) -> None:
        self._release()
        self._run.failed(self, cause)

    def _connected(self, _: int) -> None:
        assert self._sock is not None
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(_cause(error))
            return
        run = self._run
        self._nonce = base64.b64encode(os.urandom(16))
        head = request(run.target, f"{run.prefix}-{self.index}", self._nonce)
        try:
            whole = self._sock.send(head) == len(head)
        except OSError as failure:
            self._fail(_cause(failure.errno or 0))
            return
        if not whole:  # an empty socket buffer takes kilobytes
            self._fail("request not sent")
            return
        self._watch(IN, self._response)

    def _response(self, _: int) -> None:
        data = self._receive()
        if data is None:
            return
        if not data:
            self._fail("closed during the handshake")
            return
        self._head += data
        try:
            answer = read_response(self._head, self._nonce)
        except HandshakeFailed as failure:
            self._fail(str(failure))
            return
        if answer is None:
            return
        at, node = answer
        rest = self._head[at:]
        self._head = self._nonce = b""
        self.open = True
        self.failures = 0
        self._run.opened(self, node)
        self._watch(IN, self._message)
        if rest:
            self._read_slowly(rest)
        if self.open and self._run.window:
            self._fill()

    # Messages: the hot path.

    def send_message(self) -> bool:
        """Send the next message. False, and counted as blocked, when the socket is full. Only while `open`."""
        run = self._run
        if self._unsent:
            run.blocked += 1
            return False
        ledger = self._ledger
        now = monotonic_ns()
        _pack_stamp(run.frame, run.frame_head, ledger.next, now)
        try:
            size = self._sock.send(run.frame)  # type: ignore[union-attr]  # an open client has a socket
        except BlockingIOError:
            run.blocked += 1
            if run.window:
                self._watch(IN | OUT)
            return False
        except OSError:
            # The read side learns of it too, after what the server said before: perhaps a close frame.
            return False
        ledger.send(now)
        if size != len(run.frame):
            self._unsent = bytes(run.frame[size:])
            self._watch(IN | OUT)
        return True

    def _fill(self) -> None:
        run = self._run
        ledger = self._ledger
        while run.sending and ledger.next - ledger.expected < run.window and self.send_message():
            pass

    def _message(self, events: int) -> None:
        run = self._run
        buffer = run.buffer
        if events & OUT:
            self._flush()
        try:
            size = self._sock.recv_into(buffer)  # type: ignore[union-attr]  # handlers have a socket
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._lost(1006)
            return
        at = 0
        if self._reader is None:
            # Whole answers in their shortest form: nearly all there is. Anything else is left to the reader.
            now = monotonic_ns()
            head, padding, ledger = run.answer_head, run.padding, self._ledger
            start = len(head)
            whole = run.answer_size
            while at + whole <= size and buffer.startswith(head, at):
                number, sent_at = _unpack_stamp(buffer, at + start)
                if ledger.answer(number, sent_at, buffer.startswith(padding, at + start + MIN_SIZE)):
                    run.latency.add((now - sent_at) * 1e-9)
                at += whole
            if run.tally.overtaken:
                run.note_overtaken(now)
        if at < size:
            self._read_slowly(bytes(buffer[at:size]))
        if run.window and self.open:
            self._fill()

    def _read_slowly(self, data: bytes) -> None:
        reader = self._reader or FrameReader()
        try:
            found = reader.feed(data)
        except Violation as violation:
            self._closed(violation.code, pack("!H", violation.code))
            return
        self._reader = None if reader.idle else reader
        for opcode, payload in found:
            if opcode == BINARY:
                self._judge(payload)
            elif opcode == TEXT:
                self._ledger.reject()
            elif opcode == PING:
                self._push(client_frame(PONG, payload))
            elif opcode == CLOSE:
                self._closed(close_code(payload), payload[:2])
                return

    def _judge(self, payload: bytes) -> None:
        if len(payload) < MIN_SIZE:
            self._ledger.reject()
            return
        number, sent_at = _unpack_stamp(payload, 0)
        run, now = self._run, monotonic_ns()
        if self._ledger.answer(number, sent_at, payload[MIN_SIZE:] == run.padding):
            run.latency.add((now - sent_at) * 1e-9)
        if run.tally.overtaken:
            run.note_overtaken(now)

    # Closing.

    def close(self) -> None:
        """Begin to end the connection, whatever state it is in. What has not come back by now is lost."""
        if self.open:
            self.open = False
            self._ours = True
            self._ledger.settle()
            self._linger(pack("!H", 1000))
        elif self in self._run.dialling:
            self.abandon()

    def hurry(self) -> None:
        """The time for closing is over: do not wait for the server to close the TCP connection."""
        if self._ours:
            self._run.ended_by_us(self, self._code)
        self._release()
        self._run.down(self)

    def abandon(self) -> None:
        """Close the socket at once; a connection that was open counts as a disconnect."""
        if self.open:
            self._lost(1006)
            return
        self._run.dialling.discard(self)
        self._run.closing.discard(self)
        self._release()

    def _lost(self, code: int) -> None:
        """The connection has ended without a close frame."""
        self._end(code)
        self._release()
        self._run.down(self)

    def _closed(self, code: int, echo: bytes) -> None:
        """The session is over, by the server's close frame or by its mistake; the socket lives a little longer."""
        self._end(code)
        self._linger(echo)

    def _end(self, code: int) -> None:
        self.open = False
        run = self._run
        oldest = self._ledger.oldest()
        if oldest is not None:
            run.silence = max(run.silence, monotonic_ns() - oldest)
        self._ledger.cut()
        run.ended_by_other(self, code)

    def _linger(self, payload: bytes) -> None:
        """Send a close frame and wait: the server closes the TCP connection first (RFC 6455, section 7.1.1)."""
        self._run.closing.add(self, monotonic())
        self._watch(IN, self._lingering)
        self._push(client_frame(CLOSE, payload))

    def _lingering(self, events: int) -> None:
        if events & OUT:
            self._flush()
        data = self._receive()
        if data is None:
            return
        if not data:
            self.hurry()
        elif self._ours and self._code == 1006:
            # Answers that come after the grace period are not looked at: they are counted as lost already.
            reader = self._reader = self._reader or FrameReader()
            try:
                found = reader.feed(data)
            except Violation as violation:
                self._code = violation.code
                return
            for opcode, payload in found:
                if opcode == CLOSE:
                    self._code = close_code(payload)

    # The socket.

    def _receive(self) -> bytes | None:
        """Return what came, b"" when the stream has ended or broken, None when there is nothing yet."""
        assert self._sock is not None
        try:
            size = self._sock.recv_into(self._run.buffer)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return bytes(self._run.buffer[:size])

    def _push(self, data: bytes) -> None:
        """Send a control frame, after the rest of a message if one is waiting."""
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        assert self._sock is not None
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :] if self._unsent else b""
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # the read side learns of it
        self._watch(IN | OUT if self._unsent else IN)
        if self.open and self._run.window and not self._unsent:
            self._fill()

    def _watch(self, events: int, handler: Handler | None = None) -> None:
        assert self._sock is not None
        self._run.poller.modify(self._sock.fileno(), events)
        if handler is not None:
            self._run.poller.replace(self._sock.fileno(), handler)

    def _release(self) -> None:
        if self._sock is not None:
            self._run.poller.unregister(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self._reader = None
        self._unsent = self._head = self._nonce = b""
        self._ours = False
        self._code = 1006
