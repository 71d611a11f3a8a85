"""Echo traffic through a server while its processor time is watched, and connections that only exist."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from benchmarks.measuring.usage import cpu_seconds, rss
from benchmarks.peers import addresses
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan

T = TypeVar("T")

_WARM_UP = 0.7
"""Seconds of traffic before the clock starts."""

_READY = 30.0

_SETTLE = 2.0
"""Seconds after the last connection until memory is read."""

_RARELY = 1e-6
"""Messages per second of a connection that is only to exist."""


class Cost(msgspec.Struct, frozen=True):
    """What messages cost. One message is one round trip: there and back, so a relay passes it on twice."""

    cpu: float
    """Seconds of the measured process per message."""
    p99: float
    """Seconds from sending to the answer."""
    rate: float
    """Messages per second."""


async def message_cost(process: Process, clients: int, window: int, seconds: float, size: int = 64) -> Cost:
    """Run a closed loop: every client keeps `window` messages of `size` bytes in flight."""
    url = addresses.url(process.address)
    plan = LoadPlan(url=url, clients=clients, rate=0, window=window, size=size, sources=addresses.CLIENTS)

    async def measure(load: Load) -> Cost:
        await asyncio.sleep(_WARM_UP)
        load.take_phase()
        before = cpu_seconds(process.pid)
        await asyncio.sleep(seconds)
        # Nothing is awaited between the two: both count up to the same moment.
        phase, used = load.take_phase(), cpu_seconds(process.pid) - before
        if not phase.counts.clean or phase.counts.disconnects:
            raise CommandError(f"{url}: messages or connections were lost; the figures would mean nothing")
        return Cost(used / phase.counts.received, phase.latency.p99, phase.messages_per_second)

    return await with_load(plan, measure)


async def idle_memory(process: Process, clients: int) -> float:
    """Return the bytes by which a process grows per silent connection, from `clients` connections to twice as many.

    Not from none: the first thousands find room in the heap that starting has left behind, and would seem to be free.
    """
    plan = silent(addresses.url(process.address), clients)

    async def settled(_: Load) -> int:
        await asyncio.sleep(_SETTLE)
        return rss(process.pid)

    async def growth(load: Load) -> int:
        before = await settled(load)
        return await with_load(plan, settled) - before

    return await with_load(plan, growth) / clients


def silent(url: str, clients: int) -> LoadPlan:
    """Return the plan of connections that only exist."""
    return LoadPlan(url=url, clients=clients, rate=_RARELY, ramp=1500, sources=addresses.CLIENTS)


async def with_load(plan: LoadPlan, act: Callable[[Load], Awaitable[T]]) -> T:
    """Call `act` while every client of the plan is connected. Raises `CommandError` if they do not get so far."""
    load = Load(plan)
    await load.start()
    try:
        if not await load.ready(_READY):
            raise CommandError(f"{plan.url}: only {load.counts().connected} of {plan.clients} clients are connected")
        return await act(load)
    finally:
        await load.stop(grace=1.0)
