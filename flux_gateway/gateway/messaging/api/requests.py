"""What a back end asks for by the HTTP API (facts, section 12). What is null counts as absent, but for `data`.

Payloads are the exact slices of the request's body.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from flux_gateway.gateway.messaging.commands.publishing import Extra
from flux_gateway.messaging.codes import ClientError, ErrorCode
from flux_gateway.messaging.commands import Int32, StreamPosition
from flux_gateway.messaging.tokens import OVERRIDES

Moment = Annotated[float, Meta(ge=0)]
"""Unix seconds, 0 for never."""
Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Flag(msgspec.Struct):
    value: bool | None = None


class _Publishing(msgspec.Struct):
    data: Raw = Raw()
    b64data: str | None = None
    skip_history: bool | None = None
    tags: dict[str, str] | None = None
    idempotency_key: str | None = None
    version: Version | None = None
    version_epoch: str | None = None

    def payload(self) -> bytes:
        """Return what to publish. Raises `ClientError` 107 if there is nothing."""
        data = _base64(self.b64data) or bytes(self.data)
        if not data:
            raise ClientError(ErrorCode.BAD_REQUEST)
        return data

    def extra(self) -> Extra:
        """Return what is said beside the payload."""
        return Extra(
            bool(self.skip_history), self.tags, self.idempotency_key or "", self.version or 0, self.version_epoch or ""
        )


class PublishCall(_Publishing):
    """Publish into a channel."""

    channel: str | None = None


class BroadcastCall(_Publishing):
    """Publish the same into many channels."""

    channels: list[str] | None = None


class _Clients(msgspec.Struct):
    user: str | None = None
    client: str | None = None
    session: str | None = None


class SubscribeCall(_Clients):
    """Subscribe clients to a channel."""

    channel: str | None = None
    info: Raw = Raw()
    b64info: str | None = None
    data: Raw = Raw()
    b64data: str | None = None
    recover_since: StreamPosition | None = None
    override: dict[str, _Flag | None] | None = None
    expire_at: Moment | None = None

    def overrides(self) -> dict[str, bool]:
        """Return the options that are otherwise than in the namespace."""
        return {name: bool(flag.value) for name, flag in (self.override or {}).items() if flag and name in OVERRIDES}


class UnsubscribeCall(_Clients):
    """End subscriptions of clients."""

    channel: str | None = None


class Ending(msgspec.Struct):
    """How a connection is closed; a code of 0 is the usual one."""

    code: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    reason: str | None = None


class DisconnectCall(_Clients):
    """End connections."""

    whitelist: list[str] | None = None
    disconnect: Ending | None = None


class RefreshCall(_Clients):
    """Let connections expire at another time."""

    expired: bool | None = None
    expire_at: Moment | None = None
    info: Raw = Raw()


class ChannelCall(msgspec.Struct):
    """`presence`, `presence_stats`, `history_remove`."""

    channel: str | None = None


class HistoryCall(msgspec.Struct):
    """What was published; `limit` 0 for the position only, -1 for all."""

    channel: str | None = None
    limit: Int32 | None = None
    since: StreamPosition | None = None
    reverse: bool | None = None


class ChannelsCall(msgspec.Struct):
    """Which channels are there?"""

    pattern: str | None = None


class InfoCall(msgspec.Struct):
    """How are the nodes?"""


class RpcCall(msgspec.Struct):
    """Call the server itself."""

    method: str | None = None
    params: Raw = Raw()


class BatchCall(msgspec.Struct):
    """Many calls, each an object with the name of one method."""

    commands: list[dict[str, Raw]] | None = None
    parallel: bool | None = None


Call = (
    PublishCall | BroadcastCall | SubscribeCall | UnsubscribeCall | DisconnectCall | RefreshCall
    | ChannelCall | HistoryCall | ChannelsCall | InfoCall | RpcCall | BatchCall
)  # fmt: skip


def payload(raw: Raw, base64_text: str | None = None) -> bytes:
    """Return a payload that may be absent: base64 wins. Raises `ClientError` 107."""
    text = bytes(raw)
    return _base64(base64_text) or (b"" if text == b"null" else text)


def _base64(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ClientError(ErrorCode.BAD_REQUEST) from error
