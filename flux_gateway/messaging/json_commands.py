"""Commands as JSON has them: payloads are values embedded in the text, kept as their exact slice of it."""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from flux_gateway.messaging.codec import Malformed
from flux_gateway.messaging.commands import (
    MAX_UINT64,
    ConnectRequest,
    HistoryRequest,
    Int32,
    Int64,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    Request,
    RpcRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UInt32,
    UInt64,
    UnsubscribeRequest,
)

_ABSENT = Raw()


class _Subscribe(msgspec.Struct, gc=False):
    channel: str = ""
    token: str = ""
    data: Raw = _ABSENT
    recover: bool = False
    epoch: str = ""
    offset: UInt64 = 0
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: Raw = _ABSENT
    flag: Int64 = 0
    type: Int32 = 0


class _Connect(msgspec.Struct, gc=False):
    token: str = ""
    data: Raw = _ABSENT
    name: str = ""
    version: str = ""
    headers: dict[str, str] = {}
    subs: dict[str, _Subscribe] = {}
    flag: Int64 = 0


class _Publish(msgspec.Struct, gc=False):
    channel: str = ""
    data: Raw = _ABSENT
    type: Int32 = 0
    key: str = ""


class _Rpc(msgspec.Struct, gc=False):
    method: str = ""
    data: Raw = _ABSENT


class _Send(msgspec.Struct, gc=False):
    data: Raw = _ABSENT


class WireCommand(msgspec.Struct, gc=False):
    """One line of a frame. Fields nobody knows are ignored, and `null` is as good as no command."""

    id: UInt32 = 0
    connect: _Connect | None = None
    subscribe: _Subscribe | None = None
    unsubscribe: UnsubscribeRequest | None = None
    publish: _Publish | None = None
    presence: PresenceRequest | None = None
    presence_stats: PresenceStatsRequest | None = None
    history: HistoryRequest | None = None
    ping: PingRequest | None = None
    send: _Send | None = None
    rpc: _Rpc | None = None
    refresh: RefreshRequest | None = None
    sub_refresh: SubRefreshRequest | None = None


NAMES = WireCommand.__struct_fields__[1:]
"""Every command of the protocol."""


def request_of(wire: object) -> Request:
    """Return what a field of a `WireCommand` asks for. Payloads are copied out of the frame. Raises `Malformed`."""
    return _REQUESTS[type(wire)](wire)


def _offset(offset: int) -> int:
    if offset > MAX_UINT64:
        raise Malformed("an offset has at most 64 bits")
    return offset


def _subscribe(wire: _Subscribe) -> SubscribeRequest:
    return SubscribeRequest(
        channel=wire.channel,
        token=wire.token,
        data=bytes(wire.data),
        recover=wire.recover,
        epoch=wire.epoch,
        offset=_offset(wire.offset),
        positioned=wire.positioned,
        recoverable=wire.recoverable,
        join_leave=wire.join_leave,
        delta=wire.delta,
        tf=bytes(wire.tf) not in (b"", b"null"),
        flag=wire.flag,
        type=wire.type,
    )


def _connect(wire: _Connect) -> ConnectRequest:
    return ConnectRequest(
        token=wire.token,
        data=bytes(wire.data),
        name=wire.name,
        version=wire.version,
        headers=wire.headers,
        subs={channel: _subscribe(sub) for channel, sub in wire.subs.items()},
        flag=wire.flag,
    )


def _history(request: HistoryRequest) -> HistoryRequest:
    if request.since is not None:
        _offset(request.since.offset)
    return request


_REQUESTS: Mapping[type, Callable[..., Request]] = {
    _Connect: _connect,
    _Subscribe: _subscribe,
    _Publish: lambda wire: PublishRequest(wire.channel, bytes(wire.data), wire.type, wire.key),
    _Rpc: lambda wire: RpcRequest(wire.method, bytes(wire.data)),
    _Send: lambda wire: SendRequest(bytes(wire.data)),
    HistoryRequest: _history,
    UnsubscribeRequest: lambda request: request,
    PresenceRequest: lambda request: request,
    PresenceStatsRequest: lambda request: request,
    RefreshRequest: lambda request: request,
    SubRefreshRequest: lambda request: request,
    PingRequest: lambda request: request,
}
