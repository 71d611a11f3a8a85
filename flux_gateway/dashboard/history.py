"""The last 15 minutes of every node, kept as columns, and the numbered time line."""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence

from flux_gateway.core.membership import NodeRecord
from flux_gateway.core.timeline import Event
from flux_gateway.dashboard.view import NumberedEvent
from flux_gateway.registry.keys import HISTORY_SECONDS

Columns = dict[str, list[float]]
"""`at` (unix seconds), `connections`, `messages_in`, `messages_out` (a second), `cpu` (percent), `rss` (bytes)."""

Sample = tuple[float, int, float, float, float, int]


class Histories:
    """The samples of all nodes: filled from the registry once, then carried on from what the nodes announce."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[str, deque[Sample]] = {}

    def knows(self, node_id: str) -> bool:
        """Whether the node's past was filled in already."""
        return node_id in self._samples

    def fill(self, node_id: str, records: Iterable[NodeRecord]) -> None:
        """Set a node's past, oldest record first."""
        with self._lock:
            self._samples[node_id] = deque(_sample(record) for record in records)

    def append(self, record: NodeRecord) -> None:
        """Add a node's record unless it is the one already known."""
        sample = _sample(record)
        with self._lock:
            samples = self._samples.setdefault(record.id, deque())
            if samples and samples[-1] == sample:
                return
            # A node whose clock was set back starts over from there: `at` only ever rises.
            while samples and samples[-1][0] >= sample[0]:
                samples.pop()
            samples.append(sample)

    def trim(self, now: float, keep: Collection[str]) -> None:
        """Let go of samples older than 15 minutes, and of nodes not in `keep` that have none left.

        A node that is missing keeps its past that long: Redis may have come back empty.
        """
        with self._lock:
            for node_id, samples in list(self._samples.items()):
                while samples and samples[0][0] < now - HISTORY_SECONDS:
                    samples.popleft()
                if not samples and node_id not in keep:
                    del self._samples[node_id]

    def columns(self, node_id: str) -> Columns:
        """Return a node's samples, oldest first."""
        with self._lock:
            samples = list(self._samples.get(node_id, ()))
        names = ("at", "connections", "messages_in", "messages_out", "cpu", "rss")
        return {name: [sample[index] for sample in samples] for index, name in enumerate(names)}


def _sample(record: NodeRecord) -> Sample:
    return (
        round(record.heartbeat_at, 1),
        record.connections,
        round(record.messages_in, 1),
        round(record.messages_out, 1),
        round(record.cpu, 1),
        record.rss,
    )


class EventLog:
    """The newest events, numbered. The registry's stream holds them, so they survive the dashboard."""

    def __init__(self, length: int = 200) -> None:
        self._length = length
        self._next = 1
        self.events: tuple[NumberedEvent, ...] = ()

    def merge(self, newest_first: Sequence[Event]) -> None:
        """Take in what the registry's time line shows now; what is known already keeps its number."""
        known = {entry.event for entry in self.events}
        fresh = [event for event in reversed(newest_first) if event not in known]
        numbered = [NumberedEvent(number=self._next + index, event=event) for index, event in enumerate(fresh)]
        self._next += len(fresh)
        if numbered:
            self.events = (*self.events, *numbered)[-self._length :]
