"""A session: the node's side of one client's WebSocket, as a value with no I/O in it (design, section 2).

Bytes from the client go in, bytes for the client come out. The protocol work is `websockets`' Sans-I/O layer; this
module adds what it leaves to its user: whole messages out of fragments, UTF-8 validation (RFC 6455, section 8.1),
and the order of answers and close frames within one burst of bytes.
"""

import codecs
from collections.abc import Callable, Sequence

from websockets.exceptions import InvalidState
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from flux_gateway.core.frames import Buffer, encode_close, encode_frame

Endpoint = Callable[["Session", int, Buffer], bytes]
"""Answers one whole message (session, opcode TEXT or BINARY, payload) with encoded frames, or b"" for nothing."""

_TEXT, _CONT, _PONG, _BINARY = Opcode.TEXT, Opcode.CONT, Opcode.PONG, Opcode.BINARY
_PING_FRAME = encode_frame(0x9, b"flux")


class Traffic:
    """Messages and payload bytes of all sessions of a node since its start."""

    __slots__ = ("bytes_in", "bytes_out", "messages_in", "messages_out")

    def __init__(self) -> None:
        self.messages_in = self.messages_out = 0
        self.bytes_in = self.bytes_out = 0


class _Protocol(Protocol):
    """RFC 6455, section 5.4: control frames, a close too, may come between the fragments of a message."""

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection; but a close that only left a message unfinished is answered like any other."""
        received = self.close_rcvd
        if received is not None and self.state is OPEN:
            code, reason = (1000, "") if received.code == 1005 else (received.code, received.reason)
        super().fail(code, reason)


class Session:
    """One client's WebSocket after its opening handshake. `connected_at` is unix seconds, `moves` counts its moves."""

    __slots__ = (
        "_decoder", "_endpoint", "_parts", "_protocol", "_traffic", "_violation", "awaiting_pong", "connected_at",
        "ended", "id", "moves",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        endpoint: Endpoint,
        *,
        connected_at: float,
        max_size: int,
        traffic: Traffic,
        extensions: Sequence[Extension] = (),
    ) -> None:
        self.id = session_id
        self.connected_at = connected_at
        self.moves = 0
        self.awaiting_pong = False
        self.ended = False
        """Nothing more will be sent: half-close the connection after what `receive` or `close` returned."""
        self._endpoint = endpoint
        self._traffic = traffic
        self._protocol = _Protocol(SERVER, state=OPEN, max_size=max_size)
        self._protocol.extensions = list(extensions)
        self._violation = 0
        """Close code for what the protocol layer does not judge; 0 as long as there was nothing."""
        self._parts: bytearray | None = None
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def open(self) -> bool:
        """Whether messages may still be sent: no close frame went either way."""
        return self._protocol.state is OPEN

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client, in whatever pieces they come; return the bytes to write, perhaps none."""
        protocol = self._protocol
        was_open = protocol.state is OPEN
        protocol.receive_data(data)
        answers: list[bytes] = []
        violation = b""
        for frame in protocol.events_received():
            opcode = frame.opcode  # type: ignore[union-attr]
            try:
                if opcode is _TEXT or opcode is _BINARY or opcode is _CONT:
                    payload = self._whole(frame)  # type: ignore[arg-type]
                    if payload is not None and was_open:
                        self._traffic.messages_in += 1
                        self._traffic.bytes_in += len(payload[1])
                        answers.append(self._endpoint(self, *payload))
                elif opcode is _PONG:
                    self.awaiting_pong = False
            except UnicodeDecodeError:
                violation = encode_close(1007, "text message is not UTF-8")
                protocol.fail(1007, "text message is not UTF-8")
                self._violation = 1007
                break
        writes = protocol.data_to_send()
        if not writes:
            return answers[0] if len(answers) == 1 else b"".join(answers)
        if writes[-1]:  # pongs
            return b"".join((*writes, *answers))
        return self._last_words(writes[:-1], answers, violation, was_open)

    def _last_words(self, writes: list[bytes], answers: list[bytes], violation: bytes, was_open: bool) -> bytes:
        """The protocol ended the stream in this burst. Answers to what came before go out before its close frame."""
        self.ended = True
        if not was_open:
            return b"".join(writes)
        closing = violation or writes[-1]
        return b"".join((*writes[:-1], *answers, closing))

    def _whole(self, frame: Frame) -> tuple[int, Buffer] | None:
        """Return (opcode, payload) when this frame completes a message. Raises UnicodeDecodeError on bad text."""
        if frame.opcode is not _CONT:
            if frame.fin:
                if frame.opcode is _TEXT:
                    codecs.utf_8_decode(frame.data, "strict", True)
                return int(frame.opcode), frame.data
            self._parts = bytearray(frame.data)
            if frame.opcode is _TEXT:
                # Fragment by fragment, so that bad text is refused as soon as it is seen.
                self._decoder = codecs.getincrementaldecoder("utf-8")()
                self._decoder.decode(bytes(frame.data))
            return None
        assert self._parts is not None, "the protocol refuses a continuation without a beginning"
        self._parts += frame.data
        text = self._decoder
        if text is not None:
            text.decode(bytes(frame.data), frame.fin)
        if not frame.fin:
            return None
        payload, self._parts, self._decoder = self._parts, None, None
        return int(_TEXT if text is not None else _BINARY), payload

    def frame(self, opcode: int, payload: Buffer) -> bytes:
        """Encode one message for this client, compressed if that was negotiated. The caller writes it."""
        self._traffic.messages_out += 1
        self._traffic.bytes_out += len(payload)
        extensions = self._protocol.extensions
        if not extensions:
            return encode_frame(opcode, payload)
        return Frame(Opcode(opcode), payload).serialize(mask=False, extensions=extensions)

    def ping(self) -> bytes:
        """Return a ping to write, and remember that a pong is owed. Nothing when the session is closing."""
        if not self.open:
            return b""
        self.awaiting_pong = True
        return _PING_FRAME

    def close(self, code: int, reason: str) -> bytes:
        """Start the closing handshake; return the close frame to write, or nothing if it has started already."""
        try:
            self._protocol.send_close(code, reason)
        except InvalidState:
            return b""
        return b"".join(self._protocol.data_to_send())

    def eof(self) -> None:
        """The client's stream ended."""
        self._protocol.receive_eof()
        self._protocol.data_to_send()
        self.ended = True

    def outcome(self) -> tuple[int, str]:
        """Return (close code, who started): the first close frame's code, or 1006 when there was none."""
        protocol = self._protocol
        if self._violation:
            return self._violation, "node"
        received, sent = protocol.close_rcvd, protocol.close_sent
        if protocol.close_rcvd_then_sent and received is not None:
            return int(received.code), "client"
        if sent is not None:
            return int(sent.code), "node"
        return 1006, "client"
