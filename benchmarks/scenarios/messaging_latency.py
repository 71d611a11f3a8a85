"""From a publisher on one node to subscribers on another one, at an even pace; directly, and through a proxy."""

import asyncio
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.audience import Door, gathered
from benchmarks.measuring.stamps import Latency, StampedAudience, latency, stamp
from benchmarks.peers import addresses, cores, flux, messaging
from benchmarks.scenarios.effort import Effort

NAME = "messaging: latency"

_RATE = 1000.0
"""Publications per second."""
_CHANNELS = 10
_EACH = 10
"""Subscribers of each channel."""
_SECONDS = 2.5
"""Times the effort's."""
_SETTLE = 1.0


async def run(folder: Path, effort: Effort, step: Step, *, proxied: bool) -> list[Figure]:
    """Publish on the one node, hear on the other."""
    cores.pin(os.getpid(), cores.OTHERS)
    way = "through the proxy" if proxied else "directly"
    runs: list[Latency] = []
    with ExitStack() as stack:
        stack.enter_context(flux.redis(folder))
        for address in (addresses.NODE, addresses.OTHER_NODE):
            stack.enter_context(messaging.node(folder, address))
        if proxied:
            stack.enter_context(flux.proxy(folder))
            flux.wait_routed(nodes=2)
        for number in range(effort.rounds):
            step(f"{NAME}: {way}, {number + 1} of {effort.rounds}")
            runs.append(await _one(_SECONDS * effort.seconds, proxied))
    title = f"{_RATE:,.0f} publications/s, {way}"
    return [
        Figure(scenario=NAME, name=f"{title}: p50", unit="ms", ours=pick(runs, "p50", 1e3)),
        Figure(scenario=NAME, name=f"{title}: p99", unit="ms", ours=pick(runs, "p99", 1e3)),
        Figure(scenario=NAME, name=f"{title}: longest", unit="ms", ours=pick(runs, "longest", 1e3)),
    ]


async def _one(seconds: float, proxied: bool) -> Latency:
    channels = [f"bench-{number}" for number in range(_CHANNELS)]
    hearing = [_door(addresses.OTHER_NODE, proxied, channel) for channel in channels for _ in range(_EACH)]
    publishing = [_door(addresses.NODE, proxied) for _ in channels]

    def frame(which: int) -> bytes:
        return messaging.publish(channels[which], stamp())

    async with gathered(StampedAudience(), hearing) as subscribers:
        await asyncio.sleep(_SETTLE)
        return await latency(subscribers, publishing, frame, _RATE, seconds, _EACH)


def _door(node: tuple[str, int], proxied: bool, channel: str = "") -> Door:
    return Door(
        addresses.PROXY if proxied else node,
        messaging.PATH,
        messaging.hello(channel),
        messaging.READY if channel else messaging.CONNECTED,
        flux.node_name(node),
    )


PARTS = tuple(partial(run, proxied=proxied) for proxied in (False, True))
