"""A proxy that ends, in peace or by `kill -9`, and the next one that goes on: what its clients see meanwhile.

The proxy needs two open files per client, and its keeper two; at 20,000 files a process some 9,800 clients fit.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.crowd import crowd
from benchmarks.measuring.endings import ended
from benchmarks.peers.cluster import cluster
from benchmarks.scenarios.effort import Effort
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.restart import find

NAME = "moves: proxy"

_PROXY = "proxy-1"
_CLIENTS = (1000, 8000)
_SETTLE = 1.5
"""Seconds until the keeper has everybody."""
_PATIENCE = 30.0


class _Way(NamedTuple):
    title: str
    end: Callable[[LocalCluster], object]
    busy: bool
    may_be_cut: float
    """Target: percent of the connections."""


_WAYS = (
    _Way("restart", lambda mine: mine.ask("restart", name=_PROXY, seconds=_PATIENCE), False, 0.0),
    _Way("kill -9, idle", lambda mine: mine.ask("kill", name=_PROXY), False, 0.0),
    _Way("kill -9, all busy", lambda mine: mine.ask("kill", name=_PROXY), True, 1.0),
)


class Run(msgspec.Struct, frozen=True):
    """One proxy replaced. Seconds from the order, as the clients see it."""

    p50: float
    p99: float
    longest: float
    """Until a client has its next answer; where all are busy: its longest wait for one."""
    cut: float
    """Percent of the connections."""
    broken: int
    """Messages lost, doubled or out of order on connections that went on."""


async def run(folder: Path, effort: Effort, step: Step, *, way: _Way, size: int) -> list[Figure]:
    """Replace a proxy with so many clients; each time in a new cluster."""
    clients, runs = effort.clients(size), []
    title = f"{way.title}, {clients:,} connections"
    for number in range(effort.moves):
        step(f"{NAME}: {title}, {number + 1} of {effort.moves}")
        runs.append(await _one(folder, clients, way))
    return [
        Figure(scenario=NAME, name=f"{title}: without relaying, p50", unit="s", ours=pick(runs, "p50")),
        Figure(scenario=NAME, name=f"{title}: without relaying, p99", unit="s", ours=pick(runs, "p99")),
        Figure(scenario=NAME, name=f"{title}: without relaying, longest", unit="s", ours=pick(runs, "longest")),
        Figure(scenario=NAME, name=f"{title}: cut", unit="%", worst=True, most=way.may_be_cut, ours=pick(runs, "cut")),
        Figure(scenario=NAME, name=f"{title}: lost, doubled, reordered", unit="", worst=True, most=0.0,
               ours=pick(runs, "broken")),
    ]  # fmt: skip


PARTS = tuple(partial(run, way=way, size=size) for way in _WAYS for size in _CLIENTS)


async def _one(folder: Path, number: int, way: _Way) -> Run:
    with cluster(folder) as mine:
        async with crowd(number, busy=way.busy) as clients:
            await asyncio.sleep(_SETTLE)
            pid = (await asyncio.to_thread(find, mine, _PROXY)).pid
            assert pid is not None
            clients.begin()
            ordered = time.monotonic()
            await asyncio.to_thread(way.end, mine)
            await ended(pid, _PATIENCE)
            gone = time.monotonic()
            # Now that nobody relays, a message waits on every connection.
            clients.ask(since=ordered)
            await clients.answered(gone, _PATIENCE)
            seen = clients.silence(gone)
    return Run(seen.p50, seen.p99, seen.longest, 100 * seen.gone / number, seen.lost + seen.wrong)
