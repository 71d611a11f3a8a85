"""The node's word to the registry: every interval, and at once when its state changes."""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque

import msgspec

from flux_gateway import __version__
from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.gateway.node import Node
from flux_gateway.registry.keys import HISTORY_SECONDS
from flux_gateway.registry.registry import Registry
from flux_gateway.runtime.figures import ProcessFigures
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.loop_watch import LoopWatch

log = logging.getLogger(__name__)

_KINDS = {
    NodeState.UP: EventKind.UP,
    NodeState.DRAINING: EventKind.DRAINING,
    NodeState.STOPPED: EventKind.STOPPED,
}
_RETRY = 0.5
"""Seconds between attempts while Redis is away."""


class Heartbeat:
    """Announces the node. Survives Redis going away, and coming back empty."""

    def __init__(
        self, node: Node, registry: Registry, interval: float, figures: ProcessFigures, watch: LoopWatch
    ) -> None:
        self._node, self._registry, self._interval = node, registry, interval
        self._figures, self._watch = figures, watch
        self._events: deque[Event] = deque(maxlen=32)
        self._wake = asyncio.Event()
        self._announced = asyncio.Event()
        self._traffic = (time.monotonic(), 0, 0)
        self._sample: dict[str, float] = {}
        self.registered = False
        """Whether Redis has been reached since the start of the process."""
        self.available = False
        """Whether the last attempt reached Redis."""
        node.on_change(self._note)

    def _note(self, before: NodeState, after: NodeState, detail: str) -> None:
        kind = EventKind.UNDRAINED if (before, after) == (NodeState.DRAINING, NodeState.UP) else _KINDS[after]
        self._events.append(self._event(kind, detail))
        self._announced.clear()
        self._wake.set()

    def _event(self, kind: EventKind, detail: str) -> Event:
        name = self._node.settings.id
        return Event(at=time.time(), kind=kind, subject=name, by=name, detail=detail)

    async def announced(self, patience: float) -> None:
        """Wait until everything noted so far stands in the registry, at most `patience` seconds."""
        try:
            await asyncio.wait_for(self._announced.wait(), patience)
        except TimeoutError:
            log.warning("the registry does not know of the last change", extra=fields(state=self._node.state))

    async def run(self) -> None:
        """Announce for ever. The deadline moves by whole intervals, so that heartbeats do not drift."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._wake.clear()
            sample = loop.time() >= due
            reached = await self._announce(sample)
            if reached and not self._events:
                self._announced.set()
            while due <= loop.time():
                due += self._interval
            if not reached:
                await asyncio.sleep(min(_RETRY, self._interval))
            elif not self._events:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), due - loop.time())

    async def _announce(self, sample: bool) -> bool:
        """One announcement with the oldest event not yet announced. Returns whether Redis was reached."""
        event = self._events[0] if self._events else None
        history = int(HISTORY_SECONDS / self._interval) if sample else 0
        try:
            before = await self._registry.announce(self._record(sample), event, history=history)
            if event is not None:
                self._events.popleft()
            self._welcome_back(before)
        except RegistryUnavailable as error:
            if self.available or not self.registered:
                log.warning("registry away, going on without it", extra=fields(error=error))
            self.available = False
            return False
        if not self.available:
            log.info("registry reached")
        self.available = self.registered = True
        return True

    def _welcome_back(self, before: object) -> None:
        """Tell the time line when the registry had forgotten this node or taken it for dead."""
        if not isinstance(before, NodeRecord):
            detail = "the registry came back without it" if self.registered else ""
            kind = EventKind.RECOVERED if self.registered else EventKind.JOINED
            self._events.append(self._event(kind, detail))
        elif before.state is NodeState.DEAD:
            self._events.append(self._event(EventKind.RECOVERED, "was taken for dead"))

    def _record(self, sample: bool) -> NodeRecord:
        node, settings = self._node, self._node.settings
        record = NodeRecord(
            id=settings.id, host=settings.host, port=settings.port, admin_port=settings.admin_port,
            state=node.state, weight=settings.weight, version=__version__, connections=len(node.connections),
            started_at=node.started_at, heartbeat_at=time.time(), pid=os.getpid(),
        )
        if sample:
            now, traffic = time.monotonic(), node.counters.traffic
            since, messages_in, messages_out = self._traffic
            seconds = max(now - since, 1e-3)
            self._traffic = (now, traffic.messages_in, traffic.messages_out)
            self._sample = {
                "rss": self._figures.rss(),
                "cpu": round(self._figures.cpu_percent("heartbeat"), 1),
                "messages_in": round((traffic.messages_in - messages_in) / seconds, 1),
                "messages_out": round((traffic.messages_out - messages_out) / seconds, 1),
                "lag": round(self._watch.worst("heartbeat"), 4),
            }
        return msgspec.structs.replace(record, **self._sample)
