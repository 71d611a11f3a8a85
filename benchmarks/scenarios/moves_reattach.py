"""`kill -9` of a node: how soon its sessions go on at the other one, and how long its clients hear nothing."""

import asyncio
import time
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.crowd import crowd
from benchmarks.measuring.endings import ended
from benchmarks.measuring.herd import Herd
from benchmarks.measuring.proxy_view import ProxyView
from benchmarks.peers.cluster import cluster
from benchmarks.scenarios.effort import Effort
from flux_gateway.cli.restart import find

NAME = "moves: kill -9 of a node"

_SESSIONS = (100, 1000, 5000)
_SETTLE = 1.0
_PATIENCE = 30.0


class Run(msgspec.Struct, frozen=True):
    """One node killed. Seconds from the kill."""

    reattached: float
    """Until the proxy has no session on the dead node any more; looked at every 20 ms."""
    p50: float
    p99: float
    """Until a client has its next answer."""
    gone: int
    """Clients that have lost their connection."""
    wrong: int
    """Answers doubled or out of order."""


async def run(folder: Path, effort: Effort, step: Step, *, size: int) -> list[Figure]:
    """Kill a node with so many sessions; each time in a new cluster."""
    sessions, runs = effort.clients(size), []
    title = f"{sessions:,} sessions"
    for number in range(effort.moves):
        step(f"{NAME}: {title}, {number + 1} of {effort.moves}")
        runs.append(await _one(folder, sessions))
    return [
        Figure(scenario=NAME, name=f"{title}: last one reattached", unit="s", ours=pick(runs, "reattached")),
        Figure(scenario=NAME, name=f"{title}: silence p50", unit="ms", ours=pick(runs, "p50", 1e3)),
        Figure(scenario=NAME, name=f"{title}: silence p99", unit="ms", ours=pick(runs, "p99", 1e3)),
        Figure(scenario=NAME, name=f"{title}: clients cut", unit="", worst=True, most=0.0, ours=pick(runs, "gone")),
        Figure(scenario=NAME, name=f"{title}: doubled, reordered", unit="", worst=True, most=0.0,
               ours=pick(runs, "wrong")),
    ]  # fmt: skip


PARTS = tuple(partial(run, size=size) for size in _SESSIONS)


async def _one(folder: Path, sessions: int) -> Run:
    with cluster(folder, gateways=2) as mine, ProxyView() as view:
        herd = Herd(mine, view)
        await herd.together()
        async with crowd(sessions) as clients:
            await herd.free()
            await asyncio.sleep(_SETTLE)
            pid = (await asyncio.to_thread(find, mine, herd.FULL)).pid
            assert pid is not None
            clients.begin()
            killed = time.monotonic()
            # Held: it must not take its sessions back.
            await asyncio.to_thread(mine.ask, "kill", name=herd.FULL, hold=True, seconds=_PATIENCE + 10)
            await ended(pid, _PATIENCE)
            clients.ask(since=killed)
            looking = asyncio.create_task(
                view.until(herd.FULL, lambda node: not node["connections"], _PATIENCE, "no session on the dead node")
            )
            await clients.answered(killed, _PATIENCE, again=True)
            silence = clients.silence(killed)
            return Run(await looking - killed, silence.p50, silence.p99, silence.gone, silence.wrong)
