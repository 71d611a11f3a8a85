"""For the tests of moves: what a client might send, byte by byte, and a session that moves while it is sent."""

import zlib
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

from flux_gateway.core import deflate, frozen
from flux_gateway.core.frames import Buffer
from flux_gateway.core.session import Session, Traffic
from tests.unit.core.support import BINARY, CLOSE, CONT, PING, PONG, TEXT, WireFrame

MAX_SIZE = 2**17
COMPRESSED = 0x40
"""RSV1, beside the opcode of a message's first frame."""
DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

SIZES = st.one_of(st.integers(0, 40), st.sampled_from([0, 0, 124, 125, 126, 127, 65535, 65536, 65537, 70_000]))


@dataclass
class Plan:
    """Frames of a client, the messages in them, and what was negotiated."""

    extensions: str = ""
    frames: list[WireFrame] = field(default_factory=list)
    messages: list[tuple[int, bytes]] = field(default_factory=list)

    def stream(self) -> bytes:
        """Return all the client's bytes."""
        return b"".join(frame.encode() for frame in self.frames)


def compressed(payload: bytes, bits: int) -> bytes:
    """Compress one message by RFC 7692, section 7.2.1."""
    encoder = zlib.compressobj(wbits=-bits)
    return (encoder.compress(payload) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]


@st.composite
def plans(draw: st.DrawFn, most: int = 4, sizes: st.SearchStrategy[int] = SIZES) -> Plan:
    """Whatever RFC 6455 and RFC 7692 allow a client: fragments cut anywhere, control frames anywhere between them."""
    bits = draw(st.sampled_from([0, 0, 15, 9]))
    windows = "; server_max_window_bits=9; client_max_window_bits=9" if bits == 9 else ""
    plan = Plan(DEFLATE + windows if bits else "")
    masks = st.binary(min_size=4, max_size=4)

    def control() -> None:
        if draw(st.integers(0, 2)) == 0:
            payload = b"p" * draw(st.sampled_from([0, 1, 4, 125]))
            plan.frames.append(WireFrame(draw(st.sampled_from([PING, PONG])), payload, True, draw(masks)))

    for _ in range(draw(st.integers(0, most))):
        control()
        size = draw(sizes)
        if draw(st.booleans()):
            opcode, payload = TEXT, (draw(st.text("aé€😀", max_size=12)) + "x" * size).encode()
        else:
            opcode, payload = BINARY, Random(size).randbytes(size)
        plan.messages.append((opcode, payload))
        first, body = opcode, payload
        if bits and draw(st.booleans()):
            first, body = opcode | COMPRESSED, compressed(payload, bits)
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
        parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        for number, part in enumerate(parts):
            if number:
                control()
            last = number == len(parts) - 1
            plan.frames.append(WireFrame(CONT if number else first, part, last, draw(masks)))
    if draw(st.booleans()):
        plan.frames.append(WireFrame(CLOSE, b"\x03\xe8bye", True, draw(masks)))
    return plan


@st.composite
def places(draw: st.DrawFn, plan: Plan) -> list[int]:
    """Bytes of a plan's stream at which to cut it: anywhere, and in frame headers more often than by chance."""
    starts = [0]
    for frame in plan.frames:
        starts.append(starts[-1] + len(frame.encode()))
    near = st.builds(lambda start, step: min(max(start + step, 0), starts[-1]), st.sampled_from(starts), STEPS)
    return draw(st.lists(st.one_of(near, st.integers(0, starts[-1])), max_size=12))


STEPS = st.integers(-3, 15)


class Mover:
    """Gives bytes to a session, moves it when asked to, and keeps everything it says and hands over."""

    def __init__(self, extensions: str = "", max_size: int = MAX_SIZE, apart: bool = False) -> None:
        self.apart = apart
        """Whether the new node gets the residual before, or together with, what the client sends next."""
        self.messages: list[tuple[int, bytes]] = []
        self.written: list[bytes] = []
        self.traffic = Traffic()
        self._residual = b""
        self._max_size = max_size
        self.session = Session(
            "s-1", self._echo, connected_at=1.5, max_size=max_size, traffic=self.traffic,
            extensions=deflate.from_header(extensions), path="/echo",
        )  # fmt: skip

    def _echo(self, session: Session, opcode: int, payload: Buffer) -> bytes:
        self.messages.append((opcode, bytes(payload)))
        return session.frame(opcode, payload)

    def receive(self, data: bytes) -> bytes:
        """Give the session the client's next bytes."""
        data, self._residual = self._residual + data, b""
        self.written.append(self.session.receive(data))
        return self.written[-1]

    def move(self) -> bytes:
        """Move the session to another node, as bytes; return the residual. Raises `Unmovable`."""
        state, residual = self.session.freeze()
        thawed = frozen.decode(frozen.encode(state))
        self.session = Session.thaw(thawed, self._echo, max_size=self._max_size, traffic=self.traffic)
        self.session.moves += 1
        if self.apart:
            assert self.session.receive(residual) == b"", "everything in a residual is unfinished"
        else:
            assert not self._residual, "a second move needs what came with the first"
            self._residual = residual
        return residual

    def facts(self) -> dict[str, object]:
        """Return everything that must be the same with and without moves."""
        traffic = self.traffic
        return {
            "messages": self.messages,
            "written": b"".join(self.written),
            "traffic": (traffic.messages_in, traffic.bytes_in, traffic.messages_out, traffic.bytes_out),
            "state": (self.session.ended, self.session.open, self.session.outcome()),
            "awaiting_pong": self.session.awaiting_pong,
            "identity": (self.session.id, self.session.path, self.session.connected_at),
        }
