"""What the HTTP API answers with (facts, section 12). Fields at their zero value are left out, with its exceptions."""

import msgspec
from msgspec import Raw

from flux_gateway.gateway.messaging.orders.census import NodeState
from flux_gateway.messaging import publication, results
from flux_gateway.messaging.codes import ClientError, ErrorCode
from flux_gateway.messaging.positions import Position

_JSON = msgspec.json.Decoder(Raw)


class Done(msgspec.Struct):
    """Nothing more to say."""


class Published(msgspec.Struct, omit_defaults=True):
    """Where a publication is, if its channel has a history."""

    offset: int = 0
    epoch: str = ""


class Failed(msgspec.Struct):
    """An error."""

    code: int
    message: str


class Response(msgspec.Struct, omit_defaults=True):
    """One publication of a broadcast: one of the two."""

    error: Failed | None = None
    result: Published | None = None


class Broadcast(msgspec.Struct):
    """In the order of the channels."""

    responses: list[Response]


class Info(msgspec.Struct):
    """A client."""

    user: str
    client: str
    conn_info: Raw | msgspec.UnsetType = msgspec.UNSET
    chan_info: Raw | msgspec.UnsetType = msgspec.UNSET


class Kept(msgspec.Struct, omit_defaults=True):
    """A publication. `time` is unix milliseconds."""

    data: Raw
    offset: int = 0
    info: Info | None = None
    tags: dict[str, str] = {}
    time: int = 0


class Present(msgspec.Struct):
    """Who is in a channel, by client id."""

    presence: dict[str, Info]


class History(msgspec.Struct):
    """A part of a channel's history, and its position."""

    publications: list[Kept]
    offset: int
    epoch: str


class Clients(msgspec.Struct):
    """How many clients a channel has."""

    num_clients: int


class Channels(msgspec.Struct):
    """The channels of all nodes."""

    channels: dict[str, Clients]


class Nodes(msgspec.Struct):
    """All nodes."""

    nodes: list[NodeState]


class Replies(msgspec.Struct):
    """Answers to a batch: each an object with the name of its method, or `error`."""

    replies: list[dict[str, "Result | Failed"]]


Result = (
    Done | Published | Broadcast | Present | results.PresenceStatsResult | History | Channels | Nodes | Replies
)  # fmt: skip


def published(position: Position | None) -> Published:
    """Return the answer to a publication."""
    return Published(position.offset, position.epoch) if position is not None else Published()


def failed(error: ClientError) -> Failed:
    """Return what is said of an error."""
    return Failed(error.code, error.message)


def present(found: results.PresenceResult) -> Present:
    """Raises `ClientError` when a payload is not JSON."""
    return Present({client: _info(info) for client, info in found.presence.items()})


def history(found: results.HistoryResult) -> History:
    """Raises `ClientError` when a payload is not JSON."""
    return History([_kept(one) for one in found.publications], found.offset, found.epoch)


def _kept(one: publication.Publication) -> Kept:
    return Kept(_raw(one.data), one.offset, _info(one.info) if one.info else None, one.tags, one.time)


def _info(info: publication.ClientInfo) -> Info:
    return Info(
        info.user,
        info.client,
        _raw(info.conn_info) if info.conn_info else msgspec.UNSET,
        _raw(info.chan_info) if info.chan_info else msgspec.UNSET,
    )


def _raw(data: bytes) -> Raw:
    """Return a payload as a part of JSON: it was read to its end, since clients may publish any bytes."""
    try:
        if not data.isascii():
            data.decode()
        return _JSON.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(ErrorCode.INTERNAL, "a payload is not JSON", temporary=False) from error
