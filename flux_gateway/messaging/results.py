"""What the server says: results of commands, and pushes. Times to live are seconds; payloads pass byte for byte."""

import msgspec

from flux_gateway.messaging.publication import ClientInfo, Publication


class SubscribeResult(msgspec.Struct, gc=False):
    """A subscription. If it recovered, `publications` are what was missed, and `offset` is where the client stood."""

    expires: bool = False
    ttl: int = 0
    recoverable: bool = False
    epoch: str = ""
    publications: list[Publication] = []
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: bytes = b""
    was_recovering: bool = False


class ConnectResult(msgspec.Struct, gc=False):
    """A connection. `ping` is whole seconds between pings, `pong` whether they are to be answered.

    `session` and `node` are for transports whose commands come by separate requests; `time` is unix milliseconds.
    """

    client: str
    version: str
    data: bytes = b""
    subs: dict[str, SubscribeResult] = {}
    expires: bool = False
    ttl: int = 0
    ping: int = 0
    pong: bool = False
    session: str = ""
    node: str = ""
    time: int = 0


class UnsubscribeResult(msgspec.Struct, gc=False):
    """Done."""


class PublishResult(msgspec.Struct, gc=False):
    """Done."""


class PresenceResult(msgspec.Struct, gc=False):
    """Who is in a channel, by client id."""

    presence: dict[str, ClientInfo] = {}


class PresenceStatsResult(msgspec.Struct, gc=False):
    """How many are in a channel."""

    num_clients: int = 0
    num_users: int = 0


class HistoryResult(msgspec.Struct, gc=False):
    """Publications, and the top of the stream."""

    publications: list[Publication] = []
    epoch: str = ""
    offset: int = 0


class RpcResult(msgspec.Struct, gc=False):
    """What the application's backend returned."""

    data: bytes = b""


class RefreshResult(msgspec.Struct, gc=False):
    """The connection goes on."""

    client: str
    version: str
    expires: bool = False
    ttl: int = 0


class SubRefreshResult(msgspec.Struct, gc=False):
    """The subscription goes on."""

    expires: bool = False
    ttl: int = 0


class Join(msgspec.Struct, gc=False):
    """A client has subscribed to the channel."""

    info: ClientInfo


class Leave(msgspec.Struct, gc=False):
    """A client has left the channel."""

    info: ClientInfo


class Unsubscribe(msgspec.Struct, gc=False):
    """The server has ended the subscription to the channel. `code` is an `UnsubscribeCode`."""

    code: int
    reason: str


class Subscribe(msgspec.Struct, gc=False):
    """The server has subscribed the client to the channel."""

    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    positioned: bool = False
    data: bytes = b""


class Message(msgspec.Struct, gc=False):
    """A message to this client alone."""

    data: bytes


class DisconnectPush(msgspec.Struct, gc=False):
    """The end, on transports that have no close frame. `code` is a `CloseCode`."""

    code: int
    reason: str


class RefreshPush(msgspec.Struct, gc=False):
    """The server has prolonged the connection."""

    expires: bool = False
    ttl: int = 0


Result = (
    ConnectResult
    | SubscribeResult
    | UnsubscribeResult
    | PublishResult
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | RpcResult
    | RefreshResult
    | SubRefreshResult
)

Push = Publication | Join | Leave | Unsubscribe | Subscribe | Message | DisconnectPush | RefreshPush

RESULT_NAMES: dict[type[Result], str] = {
    ConnectResult: "connect",
    SubscribeResult: "subscribe",
    UnsubscribeResult: "unsubscribe",
    PublishResult: "publish",
    PresenceResult: "presence",
    PresenceStatsResult: "presence_stats",
    HistoryResult: "history",
    RpcResult: "rpc",
    RefreshResult: "refresh",
    SubRefreshResult: "sub_refresh",
}
"""The field of a reply that holds it."""

PUSH_NAMES: dict[type[Push], str] = {
    Publication: "pub",
    Join: "join",
    Leave: "leave",
    Unsubscribe: "unsubscribe",
    Subscribe: "subscribe",
    Message: "message",
    DisconnectPush: "disconnect",
    RefreshPush: "refresh",
}
"""The field of a push that holds it."""
