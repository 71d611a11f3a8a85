"""How many new connections a server takes, and what each costs."""

import asyncio
import time

import msgspec

from benchmarks.measuring.usage import cpu_seconds
from benchmarks.measuring.visits import visit
from benchmarks.peers import addresses
from benchmarks.peers.process import Process

_AT_ONCE = 32
_WARM_UP = 0.5


class Churn(msgspec.Struct, frozen=True):
    """New connections, each with handshake and close."""

    rate: float
    """Per second, all processes together: the load and the backend share the other cores."""
    cpu: float
    """Seconds of the measured process per connection."""
    beside: float = 0.0
    """Seconds of a process that helps it, per connection."""


async def connection_cost(process: Process, seconds: float, helper: Process | None = None) -> Churn:
    """Open and close connections, 32 at a time, as fast as they come back."""
    done = 0

    async def visitor(number: int) -> None:
        nonlocal done
        while True:
            await visit(process.address, addresses.CLIENTS[number % len(addresses.CLIENTS)])
            done += 1

    visitors = [asyncio.create_task(visitor(number), name=f"visitor {number}") for number in range(_AT_ONCE)]
    try:
        await _pause(visitors, _WARM_UP)
        before, started, used = done, time.monotonic(), cpu_seconds(process.pid)
        helped = cpu_seconds(helper.pid) if helper else 0.0
        await _pause(visitors, seconds)
        count, took = done - before, time.monotonic() - started
        used, helped = cpu_seconds(process.pid) - used, (cpu_seconds(helper.pid) if helper else 0.0) - helped
        return Churn(count / took, used / count, helped / count)
    finally:
        for task in visitors:
            task.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)


async def _pause(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """Wait; raise what a task has failed with."""
    failed, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in failed:
        task.result()
