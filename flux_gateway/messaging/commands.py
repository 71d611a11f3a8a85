"""What clients ask for: the same values whatever the encoding they came in.

Payloads are bytes as the client sent them: the exact slice of a JSON text, or the bytes of a Protobuf field. An absent
field has its zero value, as in the protocol. Numbers have the widths of the protocol's schema.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
UInt64 = Annotated[int, Meta(ge=0)]
"""Its upper bound is more than `Meta` can hold: whoever decodes text checks it against `MAX_UINT64`."""

MAX_UINT64 = 2**64 - 1


class StreamPosition(msgspec.Struct, gc=False):
    """A point in a channel's stream, as a client gives it."""

    offset: UInt64 = 0
    epoch: str = ""


class SubscribeRequest(msgspec.Struct, gc=False):
    """Subscribe to a channel; with `recover`, from a position on. `tf` says that a tag filter came along."""

    channel: str = ""
    token: str = ""
    data: bytes = b""
    recover: bool = False
    epoch: str = ""
    offset: UInt64 = 0
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: bool = False
    flag: Int64 = 0
    type: Int32 = 0


class ConnectRequest(msgspec.Struct, gc=False):
    """Begin. `subs` resumes server-side subscriptions; `headers` are the client's own words, not HTTP's."""

    token: str = ""
    data: bytes = b""
    name: str = ""
    version: str = ""
    headers: dict[str, str] = {}
    subs: dict[str, SubscribeRequest] = {}
    flag: Int64 = 0


class UnsubscribeRequest(msgspec.Struct, gc=False):
    """End a subscription."""

    channel: str = ""


class PublishRequest(msgspec.Struct, gc=False):
    """Publish into a channel. `type` and `key` belong to kinds of channels that are not served."""

    channel: str = ""
    data: bytes = b""
    type: Int32 = 0
    key: str = ""


class PresenceRequest(msgspec.Struct, gc=False):
    """Who is in a channel?"""

    channel: str = ""


class PresenceStatsRequest(msgspec.Struct, gc=False):
    """How many are in a channel?"""

    channel: str = ""


class HistoryRequest(msgspec.Struct, gc=False):
    """What was published? `limit` 0 asks for the position only, -1 for all. `since` is exclusive."""

    channel: str = ""
    limit: Int32 = 0
    since: StreamPosition | None = None
    reverse: bool = False


class RpcRequest(msgspec.Struct, gc=False):
    """Call the application's backend."""

    method: str = ""
    data: bytes = b""


class SendRequest(msgspec.Struct, gc=False):
    """A message to the server, without a reply."""

    data: bytes = b""


class RefreshRequest(msgspec.Struct, gc=False):
    """A new token for the connection."""

    token: str = ""


class SubRefreshRequest(msgspec.Struct, gc=False):
    """A new token for a subscription."""

    channel: str = ""
    token: str = ""


class PingRequest(msgspec.Struct, gc=False):
    """The schema has it; no SDK sends it."""


Request = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | RpcRequest
    | SendRequest
    | RefreshRequest
    | SubRefreshRequest
    | PingRequest
)


class Command(msgspec.Struct, gc=False):
    """One command. `name` is its name in the schema; an empty command, without name and request, is a pong."""

    id: int = 0
    name: str = ""
    request: Request | None = None
