"""What being able to move costs while nothing moves: the keeper's deposits, and following the messages' boundaries.

Each against the same program without, in turn, and new processes for every pair: two of the same kind differ by a few
percent, by where their memory lies.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.churn import Churn, connection_cost
from benchmarks.measuring.receiving import receive_costs
from benchmarks.measuring.traffic import Cost, message_cost
from benchmarks.peers import addresses, cores, flux
from benchmarks.peers.keeper import KeeperProcess
from benchmarks.peers.process import Process
from benchmarks.scenarios.effort import Effort

NAME = "moves: cost (with / without)"

_MOST = 1.05
"""Target: processor time per message, times that without."""
_SHARE = 5.0
"""The same in percent."""

_SIZES = (64, 4096)

Found = dict[str, tuple[list[Cost | Churn], list[Cost | Churn]]]
"""By title: runs with, runs without."""


class _Comparison(NamedTuple):
    title: str
    sides: tuple[str, str]
    """Names of the processes with and without."""
    measure: Callable[[Process], Awaitable[Cost | Churn]]


async def _compare(
    start: Callable[[ExitStack], dict[str, Process]], comparisons: Sequence[_Comparison], effort: Effort, step: Step
) -> Found:
    """Start the processes anew for each round, and make every comparison; neither side is always first."""
    found: Found = {one.title: ([], []) for one in comparisons}
    for number in range(effort.rounds):
        with ExitStack() as stack:
            running = start(stack)
            for one in comparisons:
                step(f"{NAME}: {one.title}: pair {number + 1} of {effort.rounds}")
                for side in (0, 1) if number % 2 == 0 else (1, 0):
                    found[one.title][side].append(await one.measure(running[one.sides[side]]))
    return found


def _messages(effort: Effort, clients: int, size: int = 64) -> Callable[[Process], Awaitable[Cost]]:
    return partial(message_cost, clients=clients, window=1, seconds=effort.seconds, size=size)


def _figure(title: str, found: Found, most_ratio: float | None = _MOST) -> Figure:
    mine, theirs = found[title]
    return Figure(
        scenario=NAME, name=title, unit="us", most_ratio=most_ratio,
        ours=pick(mine, "cpu", 1e6), other=pick(theirs, "cpu", 1e6),
    )  # fmt: skip


async def of_proxy(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Measure what the keeper and the frame boundaries cost the proxy."""
    cores.pin(os.getpid(), cores.OTHERS)
    with (
        flux.redis(folder),
        flux.gateway(folder, measured=False),
        KeeperProcess(folder, measured=False) as keeper,
    ):

        def start(stack: ExitStack) -> dict[str, Process]:
            # As the cluster starts it, without the keeper, and without what follows frames.
            plain, blind = addresses.OTHER_PROXIES
            proxies = {
                "kept": stack.enter_context(flux.proxy(folder, keeper=keeper.path)),
                "plain": stack.enter_context(flux.proxy(folder, address=plain)),
                "blind": stack.enter_context(flux.proxy(folder, address=blind, without="tracking")),
            }
            for process in proxies.values():
                flux.wait_routed(process.address)
            return proxies

        new = "proxy, keeper: CPU per new connection"
        comparisons = [
            _Comparison("proxy, keeper: CPU per message, 100 connections", ("kept", "plain"), _messages(effort, 100)),
            _Comparison("proxy, keeper: CPU per message, 1,000 connections", ("kept", "plain"),
                        _messages(effort, 1000)),
            _Comparison("proxy, frame boundaries: CPU per message, 100 connections", ("plain", "blind"),
                        _messages(effort, 100)),
            _Comparison(new, ("kept", "plain"), partial(connection_cost, seconds=effort.seconds, helper=keeper)),
        ]  # fmt: skip
        found = await _compare(start, comparisons, effort, step)
    helped = pick(found[new][0], "beside", 1e6)
    return [
        *(_figure(one.title, found, None if one.title == new else _MOST) for one in comparisons),
        Figure(scenario=NAME, name="keeper itself: CPU per new connection", unit="us", ours=helped),
    ]


async def of_node(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Measure what the message boundaries cost the node."""
    cores.pin(os.getpid(), cores.OTHERS)

    def start(stack: ExitStack) -> dict[str, Process]:
        bare = addresses.OTHER_NODE
        return {
            "whole": stack.enter_context(flux.gateway(folder, measured=True)),
            "bare": stack.enter_context(flux.gateway(folder, measured=True, address=bare, without="residue")),
        }

    comparisons = [
        _Comparison(f"node, residue, {size:,} bytes: CPU per message", ("whole", "bare"), _messages(effort, 100, size))
        for size in _SIZES
    ]
    with flux.redis(folder):
        found = await _compare(start, comparisons, effort, step)
    figures = []
    for size, one in zip(_SIZES, comparisons, strict=True):
        figures.append(_figure(one.title, found))
        # A whole node is not exact to a percent; the one function that differs is.
        title = f"node, residue, {size:,} bytes: Session.receive alone"
        step(f"{NAME}: {title}")
        tracked, plain = receive_costs(size, 3 * effort.rounds)
        whole = median(figures[-1].other)
        share = [100 * (a - b) / whole for a, b in zip(tracked, plain, strict=True)]
        figures += [
            Figure(scenario=NAME, name=title, unit="us", ours=tracked, other=plain),
            Figure(scenario=NAME, name=f"node, residue, {size:,} bytes: its part of the node's CPU", unit="%",
                   most=_SHARE, ours=share),
        ]  # fmt: skip
    return figures


PARTS = (of_proxy, of_node)
