"""What it costs a server to tell many subscribers of a publication, and how long until the last one has it."""

import asyncio
import time
from statistics import median

import msgspec

from benchmarks.measuring.audience import Audience
from benchmarks.measuring.publishers import Publish
from benchmarks.measuring.usage import cpu_seconds
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError

_WARM_UP = 3
"""Publications before the clock starts."""
_LEAST = 3
_PATIENCE = 30.0


class Fanout(msgspec.Struct, frozen=True):
    """Publications to everybody, the next when all have the one before."""

    cpu: float
    """Seconds of the server per delivery, the publishing included."""
    last: float
    """Seconds from publishing until the last subscriber has the last publication; the median."""


async def fanout_cost(
    process: Process, audience: Audience, publish: Publish, number: int, seconds: float
) -> Fanout:
    """Publish so many at once, again and again."""
    for _ in range(_WARM_UP):
        await _once(process, audience, publish, number)
    times: list[float] = []
    began, used = time.monotonic(), cpu_seconds(process.pid)
    while time.monotonic() - began < seconds or len(times) < _LEAST:
        times.append(await _once(process, audience, publish, number))
    used = cpu_seconds(process.pid) - used
    return Fanout(used / (len(times) * number * len(audience)), median(times))


async def _once(process: Process, audience: Audience, publish: Publish, number: int) -> float:
    everybody = audience.expect(number * len(audience))
    began = time.perf_counter()
    await publish(number)
    try:
        await asyncio.wait_for(everybody, _PATIENCE)
    except TimeoutError:
        raise CommandError(
            f"{process.name}: {audience.missing} of {number * len(audience)} deliveries did not come within "
            f"{_PATIENCE:g} s; the figures would mean nothing"
        ) from None
    return time.perf_counter() - began
