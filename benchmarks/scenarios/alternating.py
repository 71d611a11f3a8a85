"""Two programs measured in turn, so that both see the same machine."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from benchmarks.figures import Step
from benchmarks.peers.process import Process

T = TypeVar("T")


async def alternate(
    ours: Process, other: Process, rounds: int, what: str, step: Step, measure: Callable[[Process], Awaitable[T]]
) -> tuple[list[T], list[T]]:
    """Measure ours, other, other, ours, ours, ...: neither is always first. Return the runs of both, pair by pair."""
    found: dict[int, list[T]] = {ours.pid: [], other.pid: []}
    for number in range(rounds):
        step(f"{what}: pair {number + 1} of {rounds}")
        for process in (ours, other) if number % 2 == 0 else (other, ours):
            found[process.pid].append(await measure(process))
    return found[ours.pid], found[other.pid]
