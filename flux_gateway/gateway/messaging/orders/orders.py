"""What one node tells the others through Redis: orders for clients, questions, and the answers to them.

MessagePack maps with a tag. Fields may be added, with a default. A node drops what it does not know: during an update
there are nodes of two versions.
"""

import secrets

import msgspec

from flux_gateway.core.errors import FluxError
from flux_gateway.messaging.codes import CloseCode


class OrderUnreadable(FluxError):
    """A control message is none of these, perhaps one of a newer version. `kind` is its tag, or empty."""

    def __init__(self, kind: str, fault: str) -> None:
        self.kind = kind
        super().__init__(f"control message {kind or 'without a kind'}: {fault}")


class _Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    node: str
    """Who says it. What is one's own comes back and is passed over."""


def _new_id() -> str:
    return secrets.token_hex(8)


class ClientOrder(_Told, frozen=True, kw_only=True, omit_defaults=True):
    """Something to do to clients: to those that have this user, client id and session id. An empty one is any."""

    id: str = msgspec.field(default_factory=_new_id)
    """By which nodes tell whether an order has reached a client already."""
    user: str = ""
    client: str = ""
    session: str = ""

    def anybody(self) -> bool:
        """Whether it names nobody in particular: such an order is never given."""
        return not (self.user or self.client or self.session)


class DisconnectOrder(ClientOrder, frozen=True, kw_only=True, omit_defaults=True, tag="disconnect"):
    """End connections, but for the client ids of the whitelist."""

    whitelist: tuple[str, ...] = ()
    code: int = CloseCode.FORCE_DISCONNECT
    reason: str = ""


class UnsubscribeOrder(ClientOrder, frozen=True, kw_only=True, omit_defaults=True, tag="unsubscribe"):
    """End subscriptions to a channel."""

    channel: str


class SubscribeOrder(ClientOrder, frozen=True, kw_only=True, omit_defaults=True, tag="subscribe"):
    """Subscribe clients to a channel. Payloads as in a token; `expire_at` in unix seconds, 0 for never."""

    channel: str
    info: bytes = b""
    data: bytes = b""
    override: dict[str, bool] = {}
    expire_at: float = 0.0
    since: tuple[int, str] | None = None
    """Offset and epoch to recover from."""


class RefreshOrder(ClientOrder, frozen=True, kw_only=True, omit_defaults=True, tag="refresh"):
    """Let connections expire at another time (unix seconds, 0 for never), or now. An empty `info` changes nothing."""

    expired: bool = False
    expire_at: float = 0.0
    info: bytes = b""


class SurveyQuestion(_Told, frozen=True, kw_only=True, omit_defaults=True, tag="survey"):
    """Ask every node: `what` is `info` or `channels`, those that the pattern fits."""

    id: str
    what: str
    pattern: str = ""


class SurveyAnswer(_Told, frozen=True, kw_only=True, omit_defaults=True, tag="answer"):
    """What a node answers; `data` is MessagePack, of a shape that depends on the question."""

    id: str
    data: bytes = b""


Order = DisconnectOrder | UnsubscribeOrder | SubscribeOrder | RefreshOrder
Told = Order | SurveyQuestion | SurveyAnswer


class _Tag(msgspec.Struct):
    type: str = ""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Told)
_TAG = msgspec.msgpack.Decoder(_Tag)


def encode(told: Told) -> bytes:
    """Return it as it goes through Redis."""
    return _ENCODER.encode(told)


def decode(data: bytes) -> Told:
    """Reverse `encode`. Raises `OrderUnreadable`."""
    try:
        told: Told = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OrderUnreadable(_kind(data), str(error)) from error
    return told


def _kind(data: bytes) -> str:
    try:
        return _TAG.decode(data).type[:32]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
