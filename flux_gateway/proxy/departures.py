"""Moves told as a story: so many sessions have left a node, in so many seconds. For the time line and the log."""

from collections.abc import Iterator

from flux_gateway.core.timeline import EventKind
from flux_gateway.proxy.move import Move
from flux_gateway.proxy.move_figures import REATTACH

_QUIET = 1.5
"""Seconds without a further session after which a story is complete: a slow rebalance is one, not one a second."""

_LONGEST = 60.0
"""Seconds after which a story that goes on is told so far."""


class _Departure:
    """Sessions that leave one node at about the same time, for one reason."""

    __slots__ = ("begun_at", "ended_at", "failed", "moved", "open")

    def __init__(self, now: float) -> None:
        self.begun_at = self.ended_at = now
        self.open: set[Move] = set()
        self.moved = self.failed = 0


class Departures:
    """Gathers moves by (node left, reason) until none of them is open any more."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], _Departure] = {}
        self._of: dict[Move, tuple[str, str]] = {}

    def begun(self, move: Move, now: float) -> None:
        """A session is asked for, or has lost its node."""
        if move.target is move.source:
            return  # it only learns where its frames begin
        key = (move.source.id, move.reason)
        self._running.setdefault(key, _Departure(now)).open.add(move)
        self._of[move] = key

    def ended(self, move: Move, well: bool, now: float) -> None:
        """A session goes on elsewhere, or was given up."""
        departure = self._find(move)
        if departure is not None:
            departure.moved += well
            departure.failed += not well
            departure.ended_at = now

    def over(self, move: Move) -> None:
        """Nothing more comes of this move."""
        departure = self._find(move)
        if departure is not None:
            departure.open.discard(move)
            del self._of[move]

    def _find(self, move: Move) -> _Departure | None:
        key = self._of.get(move)
        return None if key is None else self._running.get(key)

    def complete(self, now: float) -> Iterator[tuple[EventKind, str, str]]:
        """Yield (kind, detail, node id) of what has come to its end, and forget it."""
        for (node_id, reason), departure in list(self._running.items()):
            goes_on = now - departure.ended_at < _QUIET and now - departure.begun_at < _LONGEST
            if departure.open or goes_on:
                continue
            del self._running[node_id, reason]
            if departure.moved or departure.failed:
                seconds = departure.ended_at - departure.begun_at
                kind = EventKind.REATTACHED if reason == REATTACH else EventKind.MOVED
                sessions = "1 session" if departure.moved == 1 else f"{departure.moved} sessions"
                yield kind, f"{sessions} in {seconds:.1f} s, {departure.failed} failed", node_id
