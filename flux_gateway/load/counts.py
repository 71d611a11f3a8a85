"""What came of a load run: figures at a moment, and over a phase."""

from collections.abc import Mapping
from typing import Any

import msgspec

from flux_gateway.core.histogram import Histogram

_GAUGES = frozenset({"connected", "outstanding", "nodes"})


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures since the start of the run, or of a phase (`since`). Mappings are never changed after construction."""

    connected: int
    """Connections open at the moment."""
    outstanding: int
    """Messages in flight at the moment."""
    nodes: Mapping[str, int]
    """Connections open at the moment by the node that answered the handshake (`X-Flux-Node`)."""

    sent: int
    received: int
    """Messages that came back, each counted once."""
    lost: int
    """Overtaken by a later number, or no answer after the grace period, on a connection that stayed open. One that
    still comes is taken back and counts as reordered: over a phase this figure can be negative."""
    doubled: int
    reordered: int
    corrupt: int
    """Came back other than sent, or was never sent by this client."""
    unanswered: int
    """In flight when a connection ended: nobody can know whether the server had them."""
    blocked: int
    """Turns of a client passed over because its socket was full."""
    skipped: int
    """Turns given up because this process was more than a second late: the load client was the limit."""
    connects: int
    """Handshakes completed."""
    node_changes: int
    """Of those, reconnects that came to another node than before."""
    disconnects: Mapping[int, int]
    """Connections that the other side ended, by close code: 1006 without a close frame, 1005 without a code; 1002 and
    1009 also when this client refused what the server sent."""
    ended: Mapping[int, int]
    """Connections that the load ended itself, by the code that the server answered."""
    connect_failures: Mapping[str, int]
    """By cause: `refused`, `timeout`, `HTTP 503`, ..."""

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost, doubled, reordered or corrupt, and at least one message came back."""
        return self.received > 0 and not (self.lost or self.doubled or self.reordered or self.corrupt)

    def since(self, earlier: "Counts") -> "Counts":
        """Return the figures of the time between; what is true of a moment only stays as it is now."""
        values: dict[str, Any] = {}
        for name in self.__struct_fields__:
            mine, before = getattr(self, name), getattr(earlier, name)
            if name in _GAUGES:
                values[name] = mine
            elif isinstance(mine, int):
                values[name] = mine - before
            else:
                values[name] = {k: n - before.get(k, 0) for k, n in mine.items() if n != before.get(k, 0)}
        return Counts(**values)


class Latency(msgspec.Struct, frozen=True):
    """Seconds from sending a message to its answer. All 0 when there was none."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> "Latency":
        """Read a histogram."""
        at = histogram.percentile
        return cls(at(50), at(90), at(99), at(99.9), histogram.largest)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a whole run or of one phase of it."""

    seconds: float
    messages_per_second: float
    """Messages that came back, per second."""
    latency: Latency
    longest_silence: float
    """Seconds: the longest any client waited for an answer, answers still outstanding included; for one that was lost,
    until the answer that overtook it."""
    slowest_return: float
    """Seconds from the first attempt after a disconnect to the open WebSocket, of the slowest client; its failed
    attempts included, and those who are still trying."""
    absent: int
    """Clients without a connection at the end, before the load closes the others."""
    cpu_seconds: float
    """Processor time of this whole process."""
    counts: Counts
