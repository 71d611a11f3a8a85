"""How long and how often to measure."""

import msgspec


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and repetitions."""

    rounds: int = 7
    """Pairs per figure of processor time."""
    seconds: float = 2.0
    """Length of one measurement."""
    fresh_rounds: int = 3
    """Pairs of fresh processes per figure of memory."""
    faults: int = 5
    """Faults of each kind."""


FULL = Effort()
QUICK = Effort(rounds=3, seconds=1.0, fresh_rounds=1, faults=1)
