"""What a connected and subscribed client costs in memory: a node of ours beside nchan and beside `ws`."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure, Step
from benchmarks.measuring.audience import Door, audience
from benchmarks.measuring.usage import rss
from benchmarks.peers import addresses, flux, messaging
from benchmarks.peers.process import Process
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.messaging_fanout import NCHAN, OURS, WS, doors, start

NAME = "messaging: memory"

_CLIENTS = 5000
_MOST = 8.0
"""Target, KiB."""
_SETTLE = 2.0


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Let clients come to fresh servers, all into one channel; with ours, also each into a channel of its own."""
    clients = effort.clients(_CLIENTS)
    plans = {name: [door] * (2 * clients) for name, door in doors().items()}
    plans["own"] = [
        Door(addresses.NODE, messaging.PATH, messaging.hello(f"bench-{number}"), messaging.READY)
        for number in range(2 * clients)
    ]
    found: dict[str, list[float]] = {name: [] for name in plans}
    for number in range(effort.fresh_rounds):
        step(f"{NAME}: {2 * clients:,} subscribers, {number + 1} of {effort.fresh_rounds}")
        for name, plan in plans.items():
            with ExitStack() as stack:
                stack.enter_context(flux.redis(folder))
                process = stack.enter_context(start(OURS if name == "own" else name, folder))
                found[name].append(await _growth(process, plan) / 1024)
    title = "RSS per connected and subscribed client"
    return [
        Figure(scenario=NAME, name=f"{title} / {NCHAN}", unit="KiB", most=_MOST, ours=found[OURS], other=found[NCHAN]),
        Figure(scenario=NAME, name=f"{title} / {WS}", unit="KiB", most=_MOST, ours=found[OURS], other=found[WS]),
        Figure(scenario=NAME, name=f"{title}, each in a channel of its own", unit="KiB", ours=found["own"]),
    ]


async def _growth(process: Process, doors: list[Door]) -> float:
    """Return the bytes by which a process grows per client while the second half of them comes."""
    half = len(doors) // 2
    async with audience(doors[:half]) as there:
        await asyncio.sleep(_SETTLE)
        before = rss(process.pid)
        await there.open(doors[half:])
        await asyncio.sleep(_SETTLE)
        return (rss(process.pid) - before) / half


PARTS = (run,)
