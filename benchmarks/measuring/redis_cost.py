"""What a publication costs Redis."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.measuring.usage import cpu_seconds
from benchmarks.peers.process import Process

_BATCH = 20
"""Publications in one write: as many as a busy node hands over in one turn of its loop."""
_WARM_UP = 100
"""Batches before the clock starts: more publications than a channel keeps."""


async def publication_cost(process: Process, publish: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Return the seconds of processor time of Redis per call of `publish`."""
    loop = asyncio.get_running_loop()
    for _ in range(_WARM_UP):
        await _batch(publish)
    done, began, used = 0, loop.time(), cpu_seconds(process.pid)
    while loop.time() - began < seconds:
        await _batch(publish)
        done += _BATCH
    return (cpu_seconds(process.pid) - used) / done


async def _batch(publish: Callable[[], Awaitable[object]]) -> None:
    await asyncio.gather(*(publish() for _ in range(_BATCH)))
