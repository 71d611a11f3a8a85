"""A drain: every session of one node moves to the other one."""

import asyncio
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.herd import Herd
from benchmarks.measuring.proxy_view import ProxyView
from benchmarks.measuring.traffic import silent, with_load
from benchmarks.peers import addresses
from benchmarks.peers.cluster import cluster
from benchmarks.scenarios.effort import Effort
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan

NAME = "moves: drain"

_SESSIONS = (100, 1000, 2000, 5000)
_GONE = {2000: 5.0}
"""Target by number of sessions: seconds until all are gone."""
_PAUSE = 50.0
"""Target for the pauses' p99 on an otherwise idle machine, milliseconds."""

_RATE = 5000.0
"""Messages per second of all clients together, under load."""

_SETTLE = 1.0
_PATIENCE = 40.0
_WINDOW = 60.0
"""Seconds that the drain may take: half of it until the node closes whom nobody has fetched."""


class Run(msgspec.Struct, frozen=True):
    """One drain."""

    seconds: float
    """From the order until the proxy has no session on the node any more; looked at every 20 ms."""
    rate: float
    """Sessions per second."""
    p50: float
    p99: float
    """Pauses of the clients, as the proxy counts them: seconds in which a client was not read."""
    silence: float
    """The longest that any client waited for an answer, seconds; 0 without load."""
    broken: int
    """Messages lost, doubled, out of order or corrupt, connections ended, moves that failed."""


async def run(folder: Path, effort: Effort, step: Step, *, size: int, busy: bool) -> list[Figure]:
    """Drain so many sessions, silent or talking; each time in a new cluster, so that no run sees another's."""
    sessions, runs = effort.clients(size), []
    title = f"{sessions:,} sessions, {'under load' if busy else 'idle'}"
    for number in range(effort.moves):
        step(f"{NAME}: {title}, {number + 1} of {effort.moves}")
        runs.append(await _one(folder, sessions, busy))
    return _figures(title, size, busy, runs)


PARTS = tuple(partial(run, size=size, busy=busy) for busy in (False, True) for size in _SESSIONS)


async def _one(folder: Path, sessions: int, busy: bool) -> Run:
    with cluster(folder, gateways=2) as mine, ProxyView() as view:
        herd = Herd(mine, view)
        await herd.together()
        plan = silent(f"{mine.url}/echo", sessions)
        if busy:
            plan = LoadPlan(
                url=plan.url, clients=sessions, rate=_RATE / sessions, ramp=plan.ramp, sources=addresses.CLIENTS
            )
        return await with_load(plan, partial(_drain, herd, view, sessions))


async def _drain(herd: Herd, view: ProxyView, sessions: int, load: Load) -> Run:
    await herd.free()
    await asyncio.sleep(_SETTLE)
    load.take_phase()
    began = await herd.drain(herd.FULL, _WINDOW)
    ended = await view.until(herd.FULL, lambda node: not node["connections"], _PATIENCE, "the node is empty")
    await asyncio.sleep(_SETTLE)  # the last messages of the phase
    phase, stat = load.take_phase(), await view.read("/stat")
    counts, moves = phase.counts, stat["moves"]
    if moves["move"] < sessions - sum(counts.disconnects.values()):
        raise CommandError(f"{sessions} sessions were to move, the proxy has moved {moves}")
    seconds = ended - began
    broken = counts.lost + counts.doubled + counts.reordered + counts.corrupt + sum(counts.disconnects.values())
    return Run(
        seconds=seconds,
        rate=sessions / seconds,
        p50=stat["pause_p50"],
        p99=stat["pause_p99"],
        silence=phase.longest_silence if counts.received > sessions else 0.0,
        broken=broken + moves["failed"],
    )


def _figures(title: str, size: int, busy: bool, runs: list[Run]) -> list[Figure]:
    figures = [
        Figure(scenario=NAME, name=f"{title}: node empty", unit="s", most=_GONE.get(size), ours=pick(runs, "seconds")),
        Figure(scenario=NAME, name=f"{title}: moves per second", unit="1/s", ours=pick(runs, "rate")),
        Figure(scenario=NAME, name=f"{title}: pause p50", unit="ms", ours=pick(runs, "p50", 1e3)),
        Figure(scenario=NAME, name=f"{title}: pause p99", unit="ms", most=None if busy else _PAUSE,
               ours=pick(runs, "p99", 1e3)),
    ]  # fmt: skip
    if busy:
        figures.append(
            Figure(scenario=NAME, name=f"{title}: longest wait for an answer", unit="ms",
                   ours=pick(runs, "silence", 1e3))
        )  # fmt: skip
    lost = f"{title}: lost, doubled, reordered, cut"
    return [*figures, Figure(scenario=NAME, name=lost, unit="", worst=True, most=0.0, ours=pick(runs, "broken"))]
