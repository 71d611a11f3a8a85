"""Following the registry: a snapshot at every event and every few seconds, and the dead declared."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.membership import Snapshot
from flux_gateway.registry.registry import Registry
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_RETRY = 1.0
"""Seconds between attempts to subscribe while Redis is away."""


class RegistryWatch:
    """Hands every new snapshot to `take`. While Redis is away nothing is handed over: what was known stands."""

    def __init__(self, registry: Registry, interval: float, member_id: str, take: Callable[[Snapshot], None]) -> None:
        self._registry, self._interval, self._id, self._take = registry, interval, member_id, take
        self._wake = asyncio.Event()
        self._reached_at = 0.0
        self.away_since: float | None = time.time()
        """Unix seconds since when Redis has not answered; None while it does."""

    async def poll(self) -> None:
        """Read snapshots for ever."""
        while True:
            self._wake.clear()
            await self._read()
            # Not asyncio.wait_for: on Python 3.11 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()

    async def _read(self) -> None:
        try:
            snapshot = await self._registry.snapshot()
            self._take(snapshot)
            if self._settled():
                await self._registry.declare_dead(snapshot, self._id)
                await self._registry.forget_old(snapshot, self._id)
        except RegistryUnavailable as error:
            if self.away_since is None:
                self.away_since = time.time()
                log.warning("registry away, routing by the last snapshot", extra=fields(error=error))

    def _settled(self) -> bool:
        """Whether Redis has been back for a full heartbeat life: before, silence proves nothing."""
        now = time.monotonic()
        if self.away_since is not None:
            self.away_since, self._reached_at = None, now
            log.info("registry reached")
        return now - self._reached_at >= self._registry.heartbeat_life

    async def follow(self) -> None:
        """Subscribe to events for ever; each one is a reason to read at once."""
        while True:
            try:
                async for _ in self._registry.events():
                    self._wake.set()
            except RegistryUnavailable as error:
                log.debug("subscription to events broke: %s", error)
            await asyncio.sleep(_RETRY)
