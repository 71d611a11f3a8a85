"""What became of moves, in figures: for metrics, commands and the registry."""

from bisect import bisect_left
from collections import Counter, deque
from itertools import accumulate

MOVE, REATTACH = "move", "reattach"
"""Reasons, as in tickets, metrics and logs."""

_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the pauses' buckets, seconds."""

_RECENT = 60.0
"""Seconds that a pause counts as recent."""

_MOST = 5000
"""Recent pauses that are remembered."""


class Pauses:
    """Counts of pauses by duration, as Prometheus wants them."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.sum = 0.0
        """Seconds of all pauses together."""

    def add(self, seconds: float) -> None:
        """Count a pause."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, pauses up to it), the last one `+Inf`."""
        names = [*map(str, _BOUNDS), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


class MoveFigures:
    """Totals since the start, and the pauses of the last minute."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        """Moves that ended well, by reason."""
        self.failed: Counter[tuple[str, str]] = Counter()
        """Moves after which the client was let go, by (reason, cause)."""
        self.refused: Counter[str] = Counter()
        """Sessions that could not move when asked for, by cause."""
        self.pauses = {MOVE: Pauses(), REATTACH: Pauses()}
        """Time in which clients were not read, by reason."""
        self._recent: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def moved(self, reason: str, pause: float, now: float) -> None:
        """A session goes on at another node after a pause of so many seconds."""
        self.done[reason] += 1
        self.pauses[reason].add(pause)
        self._recent.append((now, pause))

    def totals(self) -> dict[str, int]:
        """Return counts by reason, and how many failed."""
        return {MOVE: self.done[MOVE], REATTACH: self.done[REATTACH], "failed": sum(self.failed.values())}

    def recent(self, now: float) -> dict[str, object]:
        """Return what `flux stat` shows: totals, and median and 99th percentile of the last minute's pauses."""
        pauses = sorted(pause for at, pause in self._recent if now - at <= _RECENT)
        found: dict[str, object] = {"moves": self.totals()}
        for name, part in (("pause_p50", 0.5), ("pause_p99", 0.99)):
            found[name] = round(pauses[min(len(pauses) - 1, int(len(pauses) * part))], 6) if pauses else 0.0
        return found
