"""Saying for many clients at once that they are still there."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flux_gateway.broker import keys
from flux_gateway.broker.commands import Commands
from flux_gateway.broker.presence import Presence
from flux_gateway.messaging.publication import ClientInfo

_AT_ONCE = 1000
"""Commands under way together: clients that publish meanwhile shall not wait behind all of them."""


class LifeSign(NamedTuple):
    """A client that is still there."""

    session_id: str
    user: str
    """Empty: its connection is not counted."""
    client: str
    channels: Sequence[tuple[str, ClientInfo]]
    """Where it is present, and as whom."""


class Refresh(Presence):
    """The part of the broker that keeps alive what expires."""

    _commands: Commands

    async def touch(self, clients: Iterable[LifeSign], *, presence_ttl: float, record_ttl: float) -> list[str]:
        """Let presence and counted connections live for another `presence_ttl` seconds, records for `record_ttl`.

        Returns the ids of the sessions whose record is not there: Redis has lost it, or it was never written. Raises
        `BrokerUnavailable`; some are refreshed then.
        """
        missing = []
        batch: list[LifeSign] = []
        weight = 0
        for one in clients:
            batch.append(one)
            weight += 2 + len(one.channels)
            if weight >= _AT_ONCE:
                missing += await self._touch(batch, presence_ttl, record_ttl)
                batch, weight = [], 0
        return missing + await self._touch(batch, presence_ttl, record_ttl)

    async def _touch(self, batch: list[LifeSign], presence_ttl: float, record_ttl: float) -> list[str]:
        records = [
            self._commands.call("PEXPIRE", keys.session(one.session_id), round(record_ttl * 1000)) for one in batch
        ]
        # All of it is given to Redis here, before anybody can leave.
        await asyncio.gather(
            *(self._claim(one.user, one.client, 0, presence_ttl) for one in batch if one.user),
            *(self.add_presence(channel, info, presence_ttl) for one in batch for channel, info in one.channels),
        )
        there = await asyncio.gather(*records)
        return [one.session_id for one, found in zip(batch, there, strict=True) if not found]
