"""How publications and clients look in Redis: MessagePack arrays. A later version may append fields with defaults."""

import msgspec

from flux_gateway.broker.events import Event, Kind
from flux_gateway.messaging.publication import ClientInfo, Publication


class _Info(msgspec.Struct, array_like=True, gc=False):
    """The user stands first: `presence_stats.lua` reads it there."""

    user: str
    client: str
    conn_info: bytes = b""
    chan_info: bytes = b""


class _Publication(msgspec.Struct, array_like=True, gc=False):
    data: bytes
    time: int = 0
    info: _Info | None = None
    tags: dict[str, str] = {}


_encoder = msgspec.msgpack.Encoder()
_infos = msgspec.msgpack.Decoder(_Info)
_publications = msgspec.msgpack.Decoder(_Publication)


class Garbled(ValueError):
    """What stands in Redis was not written by a node, or by a much newer one."""


def _packed(info: ClientInfo) -> _Info:
    return _Info(info.user, info.client, info.conn_info, info.chan_info)


def _unpacked(info: _Info) -> ClientInfo:
    return ClientInfo(info.user, info.client, info.conn_info, info.chan_info)


def encode_info(info: ClientInfo) -> bytes:
    """Return who a client is as bytes."""
    return _encoder.encode(_packed(info))


def decode_info(data: bytes) -> ClientInfo:
    """Reverse `encode_info`. Raises `Garbled`."""
    try:
        return _unpacked(_infos.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbled(f"not a client's info: {error}") from error


def encode_publication(publication: Publication) -> bytes:
    """Return a publication as bytes. Its offset is not part of them: Redis gives it."""
    info = publication.info
    packed = _Publication(publication.data, publication.time, _packed(info) if info else None, publication.tags)
    return _encoder.encode(packed)


def decode_publication(data: bytes, offset: int) -> Publication:
    """Reverse `encode_publication`. Raises `Garbled`."""
    try:
        packed = _publications.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbled(f"not a publication: {error}") from error
    info = _unpacked(packed.info) if packed.info else None
    return Publication(packed.data, offset, info, packed.tags, packed.time)


def event_head(kind: Kind) -> bytes:
    """Return what stands before the body of an event without a place in a stream."""
    return f"{kind}0::".encode()


def decode_event(data: bytes) -> Event:
    """Read a message of a channel: `<kind><offset>:<epoch>:<body>`. Raises `Garbled`."""
    try:
        kind = Kind(chr(data[0]))
        offset, epoch, body = data[1:].split(b":", 2)
        place = int(offset)
    except (IndexError, ValueError) as error:
        raise Garbled(f"not an event: {data[:16]!r}") from error
    if kind is Kind.PUBLICATION:
        return Event(kind, place, epoch.decode(errors="replace"), decode_publication(body, place))
    return Event(kind, place, epoch.decode(errors="replace"), decode_info(body))
