"""What a proxy leaves beside the sockets in its keeper, and how a stream is proven after a crash (design, sec. 8)."""

import msgspec

from flux_gateway.core.frames import Buffer, FrameTracker
from flux_gateway.proxy.relay import Relay
from flux_gateway.runtime.kernel_counters import consumed, sent


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """What the next process must know of a session. Deposited when it opens, and anew when it has moved."""

    slot: int
    path: str
    extensions: str
    opened_at: float
    fence: int
    moves: int
    client_ip: str
    node: str
    up_added: int
    """Bytes sent to the node, less those consumed from the client: what the proxy itself has added."""
    down_added: int


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a direction of a stream stands, from a `FrameTracker`."""

    rest: int
    header: bytes
    fragmented: bool
    closed: bool = False


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a process that ends in peace knows beyond `Meta`: the kernel cannot tell it."""

    up: Position | None
    """None: not known, since an earlier process crashed and the session has not moved since."""
    down: Position | None
    to_client: bytes
    to_backend: bytes
    client_eof: bool


class Untracked(FrameTracker):
    """A stream whose frame boundaries are not known: its earlier proxy process crashed.

    Until the session has moved (be it to the node it is on), no close frame can be said in it.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.rest = 1

    def feed(self, data: Buffer, start: int, size: int) -> None:
        """Pass over the bytes."""


def meta_of(relay: Relay, node_id: str) -> Meta:
    """Return what to deposit for a session at a moment when nothing is between reading and sending.

    Raises OSError when one of its connections is closed.
    """
    return Meta(
        slot=relay.slot,
        path=relay.origin.path,
        extensions=relay.origin.extensions,
        opened_at=relay.opened_at,
        fence=relay.fence,
        moves=relay.moves,
        client_ip=relay.client_ip,
        node=node_id,
        up_added=sent(relay.backend, connecting=True) + len(relay.to_backend) - consumed(relay.client),
        down_added=sent(relay.client, connecting=False) + len(relay.to_client) - consumed(relay.backend),
    )


def doubt(relay: Relay, meta: Meta) -> str:
    """Return why the streams cannot go on: they were closed, or what was consumed on one side was not all sent on the
    other, as the kernel counts it. Empty when they are proven whole.
    """
    try:
        up = sent(relay.backend, connecting=True) - consumed(relay.client)
        down = sent(relay.client, connecting=False) - consumed(relay.backend)
    except OSError:  # closed or reset while nobody looked
        return "closed meanwhile"
    if up != meta.up_added:
        return "bytes of the client lost"
    return "bytes of the node lost" if down != meta.down_added else ""


def position(tracker: FrameTracker | None) -> Position | None:
    """Return where a tracker stands."""
    if tracker is None or isinstance(tracker, Untracked):
        return None
    return Position(tracker.rest, tracker.header, tracker.fragmented, tracker.closed)


def tracker(at: Position | None) -> FrameTracker:
    """Return a tracker that stands there."""
    if at is None:
        return Untracked()
    made = FrameTracker()
    made.rest, made.header, made.fragmented, made.closed = at.rest, at.header, at.fragmented, at.closed
    return made


encode = msgspec.msgpack.Encoder().encode
decode_meta = msgspec.msgpack.Decoder(Meta).decode
decode_state = msgspec.msgpack.Decoder(State).decode
