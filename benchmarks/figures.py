"""What a scenario found: one figure per row of the table, ours beside the other's, with the target."""

from collections.abc import Callable, Sequence
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing measured several times. Where there are two sides, run i of both stood next to each other in time."""

    scenario: str
    name: str
    unit: str
    ours: list[float]
    other: list[float] = []
    """The other program's, run for run; empty when there is none."""
    most: float | None = None
    """Target: at most this, in the figure's unit; None without one."""
    most_ratio: float | None = None
    """Target: at most this many times the other's."""
    worst: bool = False
    """The target holds for every single run, not for the median."""

    @property
    def ratio(self) -> float | None:
        """Median of the ratios of neighbouring runs: what slows both for a while cancels out."""
        if not self.other or not all(self.other):
            return None
        return median(mine / theirs for mine, theirs in zip(self.ours, self.other, strict=True))

    @property
    def value(self) -> float:
        """What is held against the target in the figure's unit."""
        return max(self.ours) if self.worst else median(self.ours)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.most is not None:
            return self.value <= self.most
        if self.most_ratio is not None and self.ratio is not None:
            return self.ratio <= self.most_ratio
        return None

    @property
    def target(self) -> str:
        """The target as text."""
        if self.most is not None:
            return f"<= {self.most:g} {self.unit}".rstrip()
        return f"<= {self.most_ratio:g} x" if self.most_ratio is not None else ""


Step = Callable[[str], None]
"""Called with what begins now."""


def pick(runs: Sequence[object], name: str, factor: float = 1.0) -> list[float]:
    """Return one field of every run, times a factor for its unit."""
    return [getattr(run, name) * factor for run in runs]
