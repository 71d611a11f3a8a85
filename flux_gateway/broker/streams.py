"""Channels as streams: publish, read, and where they stand."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from flux_gateway.broker import keys, scripts, wire
from flux_gateway.broker.commands import Commands
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import Publication

log = logging.getLogger(__name__)

_LARGEST = 2**64 - 2
"""The largest offset that Redis can step over in an entry id."""

_UNCOUNTED = -1
"""The size that says: neither append nor count."""


class History(NamedTuple):
    """A channel's position, and a part of what its stream holds; both as of the same moment."""

    position: Position
    publications: Sequence[Publication]


def _epoch() -> str:
    """Return the name of a stream that may be about to begin."""
    return secrets.token_hex(4)


def _position(reply: Any) -> Position:
    return Position(int(reply[0]), reply[1].decode())


def _publications(entries: Sequence[Any]) -> list[Publication]:
    found = []
    for name, values in entries:
        try:
            found.append(wire.decode_publication(values[1], int(name.partition(b"-")[0])))
        except (wire.Garbled, IndexError, ValueError):
            # To its readers it is a hole in the stream.
            log.exception("an entry of a stream cannot be read")
    return found


class Streams:
    """The part of the broker that knows streams. Every method raises `BrokerUnavailable`."""

    _commands: Commands
    _publish_by: str
    """How publications are told: PUBLISH, or SPUBLISH where the channel's master has it."""

    async def publish(
        self,
        channel: str,
        publication: Publication,
        *,
        size: int,
        ttl: float,
        meta_ttl: float,
        idempotency_key: str = "",
        idempotency_ttl: float = 300.0,
        version: int = 0,
        version_epoch: str = "",
        skip_history: bool = False,
    ) -> Position:
        """Append to the channel's stream and deliver to everybody who hears it: one step, one order for all.

        The stream keeps `size` publications for `ttl` seconds after the last one, its position for `meta_ttl` seconds.
        Returns the publication's position. Nothing happens for a publication that was there already: with the same
        idempotency key in the last `idempotency_ttl` seconds (its position is returned), or with this `version` (> 0)
        or a higher one of the same version epoch, an empty one being any (the stream's position is returned). With
        `skip_history` it is delivered, but neither kept nor counted: (0, "") is returned.
        """
        names = [keys.stream(channel), keys.meta(channel)]
        if idempotency_key:
            names.append(keys.idempotency(channel, idempotency_key))
        reply = await self._commands.run(
            scripts.PUBLISH,
            names,
            (
                keys.channel(channel),
                wire.encode_publication(publication),
                _epoch(),
                _UNCOUNTED if skip_history else size,
                _ms(ttl),
                _ms(meta_ttl),
                version,
                version_epoch,
                _ms(idempotency_ttl),
                self._publish_by,
            ),
        )
        return _position(reply)

    async def history(
        self, channel: str, *, since: Position | None, limit: int, reverse: bool = False, meta_ttl: float
    ) -> History:
        """Read at most `limit` publications (0: the position alone, -1: all), beginning at the oldest, or the newest.

        `since` is exclusive: later ones are read, or, if `reverse`, earlier ones. If its epoch, unless empty, is not
        the stream's, no publications are returned. An unknown channel begins a stream. The position is remembered for
        another `meta_ttl` seconds.
        """
        if reverse:
            beyond = since is not None and since.offset <= 0
            start, end = f"({min(since.offset, _LARGEST)}-0" if since is not None and not beyond else "+", "-"
        else:
            beyond = False
            start, end = f"({min(max(since.offset, 0), _LARGEST)}-0" if since is not None else "-", "+"
        reply = await self._commands.run(
            scripts.HISTORY,
            [keys.stream(channel), keys.meta(channel)],
            (
                _epoch(),
                _ms(meta_ttl),
                0 if beyond else limit,
                "XREVRANGE" if reverse else "XRANGE",
                start,
                end,
                since.epoch if since is not None else "",
            ),
        )
        return History(_position(reply), _publications(reply[2]))

    async def positions(
        self, channels: Sequence[str], meta_ttls: Sequence[float] = ()
    ) -> list[Position | None]:
        """Return where the streams stand, in the order of `channels`; None for a channel that has none.

        `meta_ttls`, if given: for how many seconds each position is to be remembered from now on.
        """
        kept = [
            self._commands.call("PEXPIRE", keys.meta(channel), _ms(ttl))
            for channel, ttl in zip(channels, meta_ttls, strict=False)
        ]
        await asyncio.gather(*kept)
        replies = await asyncio.gather(
            *(self._commands.call("HMGET", keys.meta(channel), "o", "e") for channel in channels)
        )
        return [Position(int(offset or 0), epoch.decode()) if epoch else None for offset, epoch in replies]

    async def renew(self, channel: str, heard: Position) -> bool:
        """End the stream if it is behind what was `heard` of it, and tell whether it was: Redis has lost a part.

        That happens in a fail-over to a replica that lagged. Offsets must not be given twice in one epoch, so that the
        next one who publishes or reads begins a new one. `heard` must come from Redis, never from a client.
        """
        names = [keys.stream(channel), keys.meta(channel)]
        return bool(await self._commands.run(scripts.RENEW, names, (heard.offset, heard.epoch)))

    async def remove_history(self, channel: str) -> None:
        """Remove the stream's entries. Its position stays."""
        await self._commands.call("DEL", keys.stream(channel))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
