"""How a drain spreads its closes over the window instead of closing everyone at once."""

from math import ceil


def due_closes(initial: int, started_at: float, ends_at: float, now: float) -> int:
    """Return how many of the `initial` sessions should have been closed by `now`, evenly spread over the window.

    The first close is due right after the start, the last one slice before the end. Times are monotonic seconds.
    """
    if initial <= 0:
        return 0
    if now >= ends_at or ends_at <= started_at:
        return initial
    elapsed = (now - started_at) / (ends_at - started_at)
    return min(initial, max(0, ceil(initial * elapsed)))
