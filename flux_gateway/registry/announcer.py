"""A member's word to the registry: every interval, and at once when something happened to it."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry.keys import HISTORY_SECONDS
from flux_gateway.registry.registry import Registry
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_RETRY = 0.5
"""Seconds between attempts while Redis is away."""

RecordSource = Callable[[bool], NodeRecord | ProxyRecord]
"""Makes the record to announce; called with True when an interval has passed and its figures should be fresh."""


class Announcer:
    """Keeps one member's record and heartbeat in the registry. Survives Redis going away, and coming back empty."""

    def __init__(self, member_id: str, registry: Registry, interval: float, record: RecordSource) -> None:
        self._id, self._registry, self._interval, self._record = member_id, registry, interval, record
        self._events: deque[Event] = deque(maxlen=64)
        self._wake = asyncio.Event()
        self._told = asyncio.Event()
        self.registered = False
        """Whether Redis has been reached since the start of the process."""
        self.available: bool | None = None
        """Whether the last attempt reached Redis; None before the first."""

    def note(self, kind: EventKind, detail: str = "", subject: str = "") -> None:
        """Announce an event, and with it the record as it is then, as soon as Redis can be reached."""
        self._events.append(Event(at=time.time(), kind=kind, subject=subject or self._id, by=self._id, detail=detail))
        self._told.clear()
        self._wake.set()

    def refresh(self) -> None:
        """Announce the record as it is now, without an event and without waiting for the next heartbeat."""
        self._wake.set()

    async def told(self, patience: float) -> None:
        """Wait until everything noted so far stands in the registry, at most `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._told.wait()
        except TimeoutError:
            log.warning("the registry could not be told the last news", extra=fields(events=len(self._events)))

    async def run(self) -> None:
        """Announce for ever. The deadline moves by whole intervals, so that heartbeats do not drift."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._wake.clear()
            reached = await self._announce(sample=loop.time() >= due)
            if loop.time() >= due + self._interval:
                log.warning("heartbeat late", extra=fields(seconds=round(loop.time() - due, 2)))
            while due <= loop.time():
                due += self._interval
            if not reached:
                await asyncio.sleep(min(_RETRY, self._interval))
            elif not self._events:
                self._told.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due - loop.time()):
                        await self._wake.wait()

    async def _announce(self, sample: bool) -> bool:
        """One announcement with the oldest event not yet announced. Returns whether Redis was reached."""
        event = self._events[0] if self._events else None
        record = self._record(sample)
        keep = int(HISTORY_SECONDS / self._interval) if sample and isinstance(record, NodeRecord) else 0
        try:
            before = await self._registry.announce(record, event, history=keep)
        except RegistryUnavailable as error:
            if self.available is not False:
                log.warning("registry away, going on without it", extra=fields(error=error))
            self.available = False
            return False
        # While Redis answered, a full queue may have dropped its oldest event: this one.
        if event is not None and self._events and self._events[0] is event:
            self._events.popleft()
        if self.registered:
            self._notice_oblivion(before)
        if not self.available:
            log.info("registry reached")
        self.available = self.registered = True
        return True

    def _notice_oblivion(self, before: NodeRecord | ProxyRecord | None) -> None:
        """Tell the time line when the registry had lost this member or taken it for dead."""
        if before is None:
            self.note(EventKind.RECOVERED, "the registry had lost it")
        elif before.state is NodeState.DEAD:
            self.note(EventKind.RECOVERED, "was taken for dead")
