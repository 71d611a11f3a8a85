"""A client for `core.session`: websockets' own client side, and what a session answers it."""

from dataclasses import dataclass, field

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from flux_gateway.core.frames import Buffer
from flux_gateway.core.session import Session, Traffic


def echo(session: Session, opcode: int, payload: Buffer) -> bytes:
    return session.frame(opcode, payload)


def deflate() -> PerMessageDeflate:
    return PerMessageDeflate(True, True, 15, 15)


@dataclass
class Peer:
    """A client that speaks to one session over nothing but bytes."""

    deflated: bool = False
    max_size: int = 2**16
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self.session = Session(
            "s-1", echo, connected_at=1.0, max_size=self.max_size, traffic=self.traffic,
            extensions=[deflate()] if self.deflated else [],
        )  # fmt: skip
        self.protocol = Protocol(CLIENT, state=OPEN, max_size=None)
        if self.deflated:
            self.protocol.extensions = [deflate()]

    def is_open(self) -> bool:
        """Whether the session may still send messages."""
        return self.session.open

    def ended(self) -> bool:
        """Whether the session has nothing more to send."""
        return self.session.ended

    def owes_pong(self) -> bool:
        """Whether the session waits for a pong."""
        return self.session.awaiting_pong

    def outgoing(self) -> bytes:
        """Return what the client has to send."""
        return b"".join(self.protocol.data_to_send())

    def raw(self, opcode: int, payload: bytes, fin: bool = True) -> bytes:
        """Return one masked frame, valid or not."""
        return Frame(Opcode(opcode), payload, fin).serialize(mask=True, extensions=self.protocol.extensions)

    def exchange(self, data: bytes) -> list[tuple[str, bytes]]:
        """Give bytes to the session and return its answers as (opcode name, payload)."""
        return self.read(self.session.receive(data))

    def read(self, data: bytes) -> list[tuple[str, bytes]]:
        """Read the session's bytes as a client would."""
        self.protocol.receive_data(data)
        assert self.protocol.parser_exc is None, self.protocol.parser_exc
        events = self.protocol.events_received()
        return [(event.opcode.name, bytes(event.data)) for event in events if isinstance(event, Frame)]
