"""A session: the node's side of one client's WebSocket, as a value with no I/O in it (design, section 2).

Bytes from the client go in, bytes for the client come out. The protocol work is `websockets`' Sans-I/O layer; this
module adds what it leaves to its user: whole messages out of fragments, UTF-8 validation (RFC 6455, section 8.1),
the order of answers and close frames within one burst of bytes, and the way to another node: `freeze` and `thaw`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol as Shape

from websockets.exceptions import InvalidState
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSED, OPEN, SERVER, Protocol

from flux_gateway.core import deflate
from flux_gateway.core.assembly import PONG, Assembly
from flux_gateway.core.errors import Unmovable
from flux_gateway.core.frames import LENGTH, WHOLE, Buffer, encode_close, encode_frame
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.residue import Residue, limit_for

Endpoint = Callable[["Session", int, Buffer], bytes]
"""Answers one whole message (session, opcode TEXT or BINARY, payload) with encoded frames, or b"" for nothing."""

_PING_FRAME = encode_frame(0x9, b"flux")


class Application(Shape):
    """What a session talks to when that has a state of its own: the state goes where the session goes."""

    def __call__(self, session: "Session", opcode: int, payload: Buffer) -> bytes:
        """Take one whole message, as an `Endpoint` does."""

    def ping(self) -> bytes:
        """Return frames that ask the client for a sign of life in the application's own way."""

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """Return what the application's protocol says for a close code of RFC 6455, and its reason."""

    @property
    def objection(self) -> str:
        """Why the state cannot be frozen at this moment, or an empty string."""

    def finish(self, then: Callable[[], None]) -> bool:
        """The client's stream has ended for a move. Returns True, and calls `then` once, if something is under way."""

    def freeze(self) -> bytes:
        """Give the state up to another node; nothing is answered afterwards.

        Raises `Unmovable`; then nothing has changed.
        """

    def resume(self) -> None:
        """The client has taken what it was told: go on, if that was waited for."""

    def lost(self) -> None:
        """The session is over."""

    def dropped(self) -> None:
        """The session was attached elsewhere: this copy of it ends without a word to anybody."""


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
        "_assembly", "_endpoint", "_protocol", "_residue", "_traffic", "_violation", "application", "awaiting_pong",
        "connected_at", "ended", "fence", "frozen", "id", "moves", "path",
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
        path: str = "",
        application: Application | None = None,
    ) -> None:
        self.id = session_id
        self.path = path
        """Name of the endpoint."""
        self.connected_at = connected_at
        self.moves = 0
        self.fence = 0
        """Number of the attach that brought the session here; of two copies the one with the lower is dropped."""
        self.awaiting_pong = False
        self.ended = False
        """Nothing more will be sent: half-close the connection after what `receive` or `close` returned."""
        self.frozen = False
        """It has left for another node: what ended here is not the client's WebSocket."""
        self.application = application
        """Its endpoint, if that has a state."""
        self._endpoint = endpoint
        self._traffic = traffic
        self._protocol = _Protocol(SERVER, state=OPEN, max_size=max_size)
        self._protocol.extensions = list(extensions)
        self._violation = 0
        """Close code for what the protocol layer does not judge; 0 as long as there was nothing."""
        self._assembly = Assembly()
        self._residue = Residue(limit_for(max_size))

    @property
    def open(self) -> bool:
        """Whether messages may still be sent: no close frame went either way."""
        return self._protocol.state is OPEN

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client, in whatever pieces they come; return the bytes to write, perhaps none."""
        residue = self._residue
        size = len(data)
        if not (
            residue.idle
            and size > 1
            and WHOLE[data[0]]
            # One frame, whose length is told by one byte, or by two more: 254 is 126 with the mask bit.
            and (LENGTH[data[1]] == size or (data[1] == 254 and size > 4 and (data[2] << 8 | data[3]) == size - 8))
        ):
            residue.take(data)
        protocol = self._protocol
        was_open = protocol.state is OPEN
        protocol.receive_data(data)
        answers: list[bytes] = []
        violation = b""
        for frame in protocol.events_received():
            try:
                opcode, payload = self._assembly.add(frame)  # type: ignore[arg-type]
            except UnicodeDecodeError:
                violation = encode_close(1007, "text message is not UTF-8")
                protocol.fail(1007, "text message is not UTF-8")
                self._violation = 1007
                break
            if opcode == PONG:
                self.awaiting_pong = False
            elif opcode and was_open:
                traffic = self._traffic
                traffic.messages_in += 1
                traffic.bytes_in += len(payload)
                answers.append(self._endpoint(self, opcode, payload))
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
        return _PING_FRAME if self.application is None else self.application.ping()

    def close(self, code: int, reason: str) -> bytes:
        """Start the closing handshake; return the close frame to write, or nothing if it has started already."""
        if self.application is not None:
            code, reason = self.application.closing(code, reason)
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

    @property
    def objection(self) -> str:
        """Why the session cannot be frozen at this moment, or an empty string."""
        if self.ended or not self.open:
            return "closing"
        if self._residue.over:
            return "message too large to carry"
        return "" if self.application is None else self.application.objection

    def freeze(self) -> tuple[Frozen, bytes]:
        """Give the session up to another node: (what it is, the client's bytes since the last message boundary).

        Raises `Unmovable` when the closing handshake has begun, or the unfinished message is too large to carry; the
        session then goes on as before. Afterwards it is `ended` and `frozen`, and says nothing more.
        """
        if not self.open:
            raise Unmovable("closing")
        residual = self._residue.raw
        if residual is None:
            raise Unmovable("message too large to carry")
        frozen = Frozen(
            session=self.id,
            path=self.path,
            connected_at=self.connected_at,
            moves=self.moves,
            extensions=deflate.to_header(self._protocol.extensions),
            awaiting_pong=self.awaiting_pong,
            application=b"" if self.application is None else self.application.freeze(),
        )
        self.ended = self.frozen = True
        # So that neither a ping nor a close frame comes from this copy.
        self._protocol.state = CLOSED
        return frozen, residual

    @classmethod
    def thaw(
        cls,
        frozen: Frozen,
        endpoint: Endpoint,
        *,
        max_size: int,
        traffic: Traffic,
        application: Application | None = None,
    ) -> "Session":
        """Return the session as it was frozen. The caller gives it the residual, then the rest of the client's bytes.

        Raises `ThawError` when its extensions are not known here. `moves` and `fence` are left to the caller.
        """
        session = cls(
            frozen.session,
            endpoint,
            connected_at=frozen.connected_at,
            max_size=max_size,
            traffic=traffic,
            extensions=deflate.from_header(frozen.extensions),
            path=frozen.path,
            application=application,
        )
        session.moves = frozen.moves
        session.awaiting_pong = frozen.awaiting_pong
        return session
