"""What goes with a client to another node: whole when its session moves, without positions in its session record.

MessagePack maps; fields may be added, with a default. The first byte is a version, as in `core.frozen`.
"""

import msgspec

from flux_gateway.core.errors import ThawError

VERSION = 1


class SubscriptionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription. `offset` and `epoch` are how far the client has been served; `expire_at` is unix seconds."""

    offset: int = 0
    epoch: str = ""
    expire_at: float = 0.0
    refreshable: bool = False
    info: bytes = b""
    positioned: bool = False
    recoverable: bool = False
    presence: bool = False
    announced: bool = False
    join_leave: bool = False
    by_token: bool = False
    server_side: bool = False
    returning: bool = False
    """The client was told to subscribe anew and has not done so yet: it hears nothing, but for others it is there."""


class ClientState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client after its `connect`, or before it if `client` is empty. Times are unix seconds, 0 for never."""

    client: str = ""
    user: str = ""
    encoding: str = ""
    info: bytes = b""
    meta: bytes = b""
    expire_at: float = 0.0
    refreshable: bool = False
    """The client refreshes its token itself."""
    headers: dict[str, str] = {}
    """Of its handshake, those that webhooks are told."""
    ping_in: float = 0.0
    """Seconds to the next ping."""
    owed: int = 0
    """Pings it has not answered."""
    forgiven: bool = False
    """One pong more may come: a node that is gone may have asked."""
    subscriptions: dict[str, SubscriptionState] = {}
    undone: list[tuple[int, bytes]] = []
    """Frames of the client not worked off: how many of a frame's commands are done, and its payload."""
    orders: list[str] = []
    """Ids of orders of the last seconds that this state is the outcome of: they are not to be repeated."""


def encode(state: ClientState) -> bytes:
    """Return the state as bytes."""
    return bytes((VERSION,)) + msgspec.msgpack.encode(state)


def decode(data: bytes) -> ClientState:
    """Read a state. Raises `ThawError` when this node cannot."""
    if not data or data[0] != VERSION:
        raise ThawError(f"a client's state of version {data[:1].hex() or 'none'}; this node knows {VERSION:02x}")
    try:
        return msgspec.msgpack.decode(data[1:], type=ClientState)
    except msgspec.DecodeError as error:
        raise ThawError(f"not the state of a client: {error}") from error
