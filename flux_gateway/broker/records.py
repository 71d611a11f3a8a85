"""What Redis knows of a session, so that another node can go on with it when its own is gone."""

from flux_gateway.broker import keys, scripts
from flux_gateway.broker.commands import Commands

_FENCE_LIFE = 60.0
"""Seconds for which a session that is over remembers that. A node that was overtaken has noticed by then."""


class Records:
    """The part of the broker that keeps session records. Every method raises `BrokerUnavailable`.

    The fence of a session rises with each attach: who writes with a lower one than stands there was overtaken.
    """

    _commands: Commands

    async def save_record(self, session_id: str, fence: int, record: bytes, ttl: float) -> bool:
        """Write a session's record for `ttl` seconds. False: overtaken, nothing is written."""
        return bool(
            await self._commands.run(
                scripts.SAVE_RECORD, [keys.session(session_id)], (fence, record, round(ttl * 1000))
            )
        )

    async def load_record(self, session_id: str) -> bytes | None:
        """Return a session's record, None if there is none (any more)."""
        record: bytes | None = await self._commands.call("HGET", keys.session(session_id), "r")
        return record

    async def drop_record(self, session_id: str, fence: int) -> bool:
        """Remove a session's record. False: overtaken, it stays."""
        return bool(
            await self._commands.run(
                scripts.DROP_RECORD, [keys.session(session_id)], (fence, round(_FENCE_LIFE * 1000))
            )
        )
