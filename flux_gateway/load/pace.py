"""When turns are due: evenly spread over time, without drift and without a timer per client."""

BURST_SECONDS = 0.005
"""What may be handed out at once after a stall; the rest follows when events have been served in between."""
FORGIVEN_SECONDS = 1.0
"""A stall longer than this is not caught up: those turns are given up and counted."""


class Pace:
    """Hands out turns, `rate` per second, from a start on. Knows no clock: `now` is monotonic seconds."""

    __slots__ = ("_burst", "_most", "_rate", "_start", "_taken", "given_up")

    def __init__(self, rate: float, start: float) -> None:
        self._rate = rate
        self._start = start
        self._taken = 0
        self._burst = max(1, int(rate * BURST_SECONDS))
        self._most = max(1, int(rate * FORGIVEN_SECONDS))
        self.given_up = 0
        """Turns that were never handed out because the caller came too late."""

    def take(self, now: float) -> int:
        """Return how many turns are due now (at most a burst) and count them as taken. The first is due at once."""
        due = int((now - self._start) * self._rate) + 1 - self._taken
        if due <= 0:
            return 0
        if due > self._most:
            self.given_up += due - self._most
            self._taken += due - self._most
            due = self._most
        due = min(due, self._burst)
        self._taken += due
        return due

    def next_at(self) -> float:
        """Return the moment the next turn is due; it lies in the past when more turns are due already."""
        return self._start + self._taken / self._rate
