"""Messaging: fan-out, latency across nodes, memory, recovery, and what the move window costs Redis."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.figures import Figure, Step
from benchmarks.scenarios import (
    messaging_fanout,
    messaging_latency,
    messaging_memory,
    messaging_recovery,
    messaging_redis,
)
from benchmarks.scenarios.effort import Effort

PARTS: tuple[Callable[[Path, Effort, Step], Awaitable[list[Figure]]], ...] = (
    *messaging_fanout.PARTS, *messaging_latency.PARTS, *messaging_memory.PARTS, *messaging_recovery.PARTS,
    *messaging_redis.PARTS,
)  # fmt: skip
