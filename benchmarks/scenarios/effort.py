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
    moves: int = 3
    """Drains, kills and restarts of each kind and size."""
    crowd: float = 1.0
    """Part of the clients that those have."""

    def clients(self, number: int) -> int:
        """Return how many clients to take where so many are meant."""
        return max(10, round(number * self.crowd))


FULL = Effort()
QUICK = Effort(rounds=3, seconds=1.0, fresh_rounds=1, faults=1, moves=1, crowd=0.1)
