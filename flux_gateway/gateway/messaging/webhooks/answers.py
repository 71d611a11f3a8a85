"""What webhooks answer (facts, section 13): read from JSON, checked, and made into what the node works with."""

import base64
import binascii
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw

from flux_gateway.gateway.messaging.webhooks.fetching import FetchFailed
from flux_gateway.messaging.codes import ClientError, Disconnect
from flux_gateway.messaging.tokens import OVERRIDES, SubscriptionGrant

T = TypeVar("T")


class ConnectAnswer(msgspec.Struct, frozen=True):
    """Who the client is. Payloads are bytes, empty if absent; times are unix seconds, 0 for never."""

    user: str
    expire_at: float
    info: bytes
    data: bytes
    meta: bytes
    channels: dict[str, SubscriptionGrant]
    """What the server subscribes it to."""


class RefreshAnswer(msgspec.Struct, frozen=True):
    """Whether a connection or a subscription goes on, and until when. Payloads replace what was known."""

    expired: bool
    expire_at: float
    info: bytes
    meta: bytes = b""


class SubscribeAnswer(msgspec.Struct, frozen=True):
    """That the client may subscribe, and with what."""

    info: bytes
    data: bytes
    expire_at: float
    override: dict[str, bool]


class PublishAnswer(msgspec.Struct, frozen=True):
    """That the client may publish; `data`, if not empty, replaces what it wants to."""

    data: bytes
    skip_history: bool
    tags: dict[str, str]
    idempotency_key: str
    version: int
    version_epoch: str


class RpcAnswer(msgspec.Struct, frozen=True):
    """The result of a call."""

    data: bytes


# As they come. What is null counts as absent.

Moment = Annotated[float, Meta(ge=0)]


class _Flag(msgspec.Struct):
    value: bool = False


class _Payloads(msgspec.Struct):
    info: Raw = Raw()
    b64info: str | None = None
    data: Raw = Raw()
    b64data: str | None = None
    meta: Raw = Raw()
    override: dict[str, _Flag | None] | None = None


class _Connect(_Payloads):
    user: str | None = None
    expire_at: Moment | None = None
    channels: list[str] | None = None
    subs: dict[str, _Payloads | None] | None = None


class _Refresh(_Payloads):
    expired: bool | None = None
    expire_at: Moment | None = None


class _Subscribe(_Payloads):
    expire_at: Moment | None = None


class _Publish(_Payloads):
    skip_history: bool | None = None
    tags: dict[str, str] | None = None
    idempotency_key: str | None = None
    version: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    version_epoch: str | None = None


class _Error(msgspec.Struct):
    code: Annotated[int, Meta(ge=1, lt=2**31)]
    message: str | None = None
    temporary: bool | None = None


class _Disconnect(msgspec.Struct):
    code: Annotated[int, Meta(ge=3000, le=4999)]  # what a close frame may carry
    reason: str | None = None


class _Answer(msgspec.Struct, Generic[T]):
    disconnect: _Disconnect | None = None
    error: _Error | None = None
    result: T | None = None


_CONNECT = msgspec.json.Decoder(_Answer[_Connect])
_REFRESH = msgspec.json.Decoder(_Answer[_Refresh])
_SUBSCRIBE = msgspec.json.Decoder(_Answer[_Subscribe])
_PUBLISH = msgspec.json.Decoder(_Answer[_Publish])
_RPC = msgspec.json.Decoder(_Answer[_Payloads])


def connect(body: bytes) -> ConnectAnswer | None:
    """Read the answer to `connect`; None: not authenticated. Raises as all do here: `ClientError`, `Disconnect` as the
    back end wants it, `FetchFailed` for what is no answer.
    """
    result = _result(_CONNECT, body)
    if result is None:
        return None
    grants = {channel: _Payloads() for channel in result.channels or ()}
    grants |= {channel: grant or _Payloads() for channel, grant in (result.subs or {}).items()}
    return ConnectAnswer(
        result.user or "",
        result.expire_at or 0.0,
        _info(result),
        _data(result),
        _json(result.meta),
        {name: SubscriptionGrant(_info(one), _data(one), _override(one)) for name, one in grants.items()},
    )


def refresh(body: bytes) -> RefreshAnswer | None:
    """Read the answer to `refresh` and `sub_refresh`; None: the right is over."""
    result = _result(_REFRESH, body)
    if result is None:
        return None
    return RefreshAnswer(bool(result.expired), result.expire_at or 0.0, _info(result), _json(result.meta))


def subscribe(body: bytes) -> SubscribeAnswer:
    """Read the answer to `subscribe`. An empty result allows it; none at all is no answer."""
    result = _given(_result(_SUBSCRIBE, body))
    return SubscribeAnswer(_info(result), _data(result), result.expire_at or 0.0, _override(result))


def publish(body: bytes) -> PublishAnswer:
    """Read the answer to `publish`. An empty result allows it as it is; none at all is no answer."""
    result = _given(_result(_PUBLISH, body))
    return PublishAnswer(
        _data(result),
        bool(result.skip_history),
        result.tags or {},
        result.idempotency_key or "",
        result.version or 0,
        result.version_epoch or "",
    )


def rpc(body: bytes) -> RpcAnswer:
    """Read the answer to `rpc`."""
    return RpcAnswer(_data(_given(_result(_RPC, body))))


def _result(decoder: "msgspec.json.Decoder[_Answer[T]]", body: bytes) -> T | None:
    try:
        answer = decoder.decode(body.decode())  # payloads are passed on as they are: they must be text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FetchFailed("garbage", "did not answer as a webhook must") from error
    if answer.disconnect is not None:
        raise Disconnect(answer.disconnect.code, answer.disconnect.reason or "")
    if answer.error is not None:
        raise ClientError(answer.error.code, answer.error.message or "", answer.error.temporary)
    return answer.result


def _given(result: T | None) -> T:
    if result is None:
        raise FetchFailed("garbage", "answered with neither result, error nor disconnect")
    return result


def _info(one: _Payloads) -> bytes:
    return _bytes(one.b64info) or _json(one.info)


def _data(one: _Payloads) -> bytes:
    return _bytes(one.b64data) or _json(one.data)


def _bytes(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise FetchFailed("garbage", "answered with a payload that is not base64") from error


def _json(raw: Raw) -> bytes:
    text = bytes(raw)
    return b"" if text == b"null" else text


def _override(one: _Payloads) -> dict[str, bool]:
    return {name: flag.value for name, flag in (one.override or {}).items() if flag and name in OVERRIDES}
