"""The keeper: how long a proxy needs to deposit its connections there, and the next one to take them back.

Connections are pairs of real TCP sockets, with a meta of the size the proxy writes. Both ends of both are in this
process, so open files bound their number; three numbers of pairs show that the cost of one does not grow with them.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from benchmarks.figures import Figure, Step, pick
from benchmarks.peers.keeper import KeeperProcess
from benchmarks.scenarios.effort import Effort
from flux_gateway.core.errors import CommandError
from flux_gateway.keeper.client import Keeper

NAME = "keeper"

_PAIRS = (1000, 2000, 4000)
_TEN_THOUSAND = 10_000

_META = bytes(300)
_STATE = bytes(200)
_PATIENCE = 60.0


class Run(msgspec.Struct, frozen=True):
    """One keeper filled and emptied. Seconds, and KiB of memory, for 10,000 connections at this rate."""

    deposit: float
    """From the first deposit until the keeper has confirmed the last."""
    take: float
    """From the connect of the next process until it has every connection."""
    hand_over: float
    """Until 200 bytes of state of each are confirmed, too."""
    memory: float
    """Resident memory of the keeper."""


class _Pair(NamedTuple):
    client: socket.socket
    backend: socket.socket


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Fill and empty a fresh keeper with more and more connections."""
    figures = []
    for number in _PAIRS:
        runs = []
        for one in range(effort.rounds):
            step(f"{NAME}: {number:,} connections, {one + 1} of {effort.rounds}")
            runs.append(await _one(folder, number))
        title = f"per 10,000 connections, by {number:,}"
        figures += [
            Figure(scenario=NAME, name=f"deposit {title}", unit="s", ours=pick(runs, "deposit")),
            Figure(scenario=NAME, name=f"take back {title}", unit="s", ours=pick(runs, "take")),
            Figure(scenario=NAME, name=f"hand over {title}", unit="s", ours=pick(runs, "hand_over")),
            Figure(scenario=NAME, name=f"RSS {title}", unit="MiB", ours=pick(runs, "memory", 1 / 1024)),
        ]
    return figures


async def _one(folder: Path, number: int) -> Run:
    scale = _TEN_THOUSAND / number
    with KeeperProcess(folder) as process, ExitStack() as far:
        pairs = _pairs(number, far)
        before = _rss(process)
        async with _client(process) as proxy:
            began = time.perf_counter()
            for key, pair in pairs.items():
                proxy.deposit(key, _META, *pair)
            deposit = await _confirmed(proxy, began)
            began = time.perf_counter()
            for key in pairs:
                proxy.hand_over(key, _STATE)
            hand_over = await _confirmed(proxy, began)
            memory = _rss(process) - before
        for pair in pairs.values():  # as the death of the process does
            pair.client.close()
            pair.backend.close()
        began = time.perf_counter()
        async with _client(process) as successor:
            kept = await successor.take(_PATIENCE)
            take = time.perf_counter() - began
        for one in kept:
            one.client.close()
            one.backend.close()
        if len(kept) != number or not all(one.blob for one in kept):
            raise CommandError(f"{number} connections were deposited, {len(kept)} came back")
    return Run(deposit * scale, take * scale, hand_over * scale, memory / 1024 * scale)


async def _confirmed(proxy: Keeper, began: float) -> float:
    if not await proxy.flush(_PATIENCE):
        raise CommandError("the keeper does not answer")
    return time.perf_counter() - began


@asynccontextmanager
async def _client(process: KeeperProcess) -> AsyncIterator[Keeper]:
    keeper = Keeper(str(process.path), lambda: None)
    task = asyncio.create_task(keeper.run())
    try:
        if not await keeper.flush(_PATIENCE):  # connected
            raise CommandError("the keeper does not answer")
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _pairs(number: int, far: ExitStack) -> dict[str, _Pair]:
    """Return by session id the ends that a proxy holds. The others, of clients and nodes, are closed with the stack."""
    with socket.create_server(("127.40.1.1", 0), backlog=16) as listener:

        def end() -> socket.socket:
            far.enter_context(socket.create_connection(listener.getsockname()))
            return listener.accept()[0]

        return {f"{at:032x}": _Pair(end(), end()) for at in range(number)}


def _rss(process: KeeperProcess) -> int:
    return int(psutil.Process(process.pid).memory_info().rss)
