"""Sessions that move: how fast, how long each client waits, and what being able to costs."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.figures import Figure, Step
from benchmarks.scenarios import moves_cost, moves_drain, moves_proxy, moves_reattach
from benchmarks.scenarios.effort import Effort

PARTS: tuple[Callable[[Path, Effort, Step], Awaitable[list[Figure]]], ...] = (
    *moves_drain.PARTS, *moves_reattach.PARTS, *moves_proxy.PARTS, *moves_cost.PARTS,
)  # fmt: skip
