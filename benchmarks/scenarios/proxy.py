"""The proxy against HAProxy: one thread each, the same node behind both, the same clients before both."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.churn import connection_cost
from benchmarks.measuring.traffic import idle_memory, message_cost
from benchmarks.peers import flux
from benchmarks.peers.haproxy import haproxy
from benchmarks.peers.process import Process
from benchmarks.scenarios.alternating import alternate
from benchmarks.scenarios.effort import Effort

NAME = "proxy / HAProxy"
_IDLE = 3750


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Measure everything about relaying."""
    with ExitStack() as stack:
        stack.enter_context(flux.redis(folder))
        stack.enter_context(flux.gateway(folder, measured=False))
        figures = await _memory(folder, effort, step)
        ours, other = _relays(stack, folder)
        for clients in (100, 1000):
            figures += await _messages(ours, other, clients, effort, step)
        figures += await _connections(ours, other, effort, step)
    return figures


def _relays(stack: ExitStack, folder: Path) -> tuple[Process, Process]:
    ours, other = stack.enter_context(flux.proxy(folder)), stack.enter_context(haproxy(folder))
    flux.wait_routed()
    return ours, other


async def _messages(ours: Process, other: Process, clients: int, effort: Effort, step: Step) -> list[Figure]:
    measure = partial(message_cost, clients=clients, window=1, seconds=effort.seconds)
    title = f"{clients:,} connections"
    mine, theirs = await alternate(ours, other, effort.rounds, f"{NAME}: {title}", step, measure)
    return [
        Figure(
            scenario=NAME, name=f"CPU per message, {title}", unit="us", most_ratio=1.0,
            ours=pick(mine, "cpu", 1e6), other=pick(theirs, "cpu", 1e6),
        ),
        Figure(
            scenario=NAME, name=f"p99, {title}", unit="ms",
            ours=pick(mine, "p99", 1e3), other=pick(theirs, "p99", 1e3),
        ),
        Figure(
            scenario=NAME, name=f"messages per second, {title}", unit="1/s",
            ours=pick(mine, "rate"), other=pick(theirs, "rate"),
        ),
    ]  # fmt: skip


async def _connections(ours: Process, other: Process, effort: Effort, step: Step) -> list[Figure]:
    measure = partial(connection_cost, seconds=effort.seconds)
    mine, theirs = await alternate(ours, other, effort.rounds, f"{NAME}: new connections", step, measure)
    return [
        Figure(scenario=NAME, name="new connections per second", unit="1/s",
               ours=pick(mine, "rate"), other=pick(theirs, "rate")),
        Figure(scenario=NAME, name="CPU per new connection", unit="us",
               ours=pick(mine, "cpu", 1e6), other=pick(theirs, "cpu", 1e6)),
    ]  # fmt: skip


async def _memory(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    mine, theirs = [], []
    for number in range(effort.fresh_rounds):
        step(f"{NAME}: memory of {2 * _IDLE:,} idle connections, {number + 1} of {effort.fresh_rounds}")
        with ExitStack() as stack:
            ours, other = _relays(stack, folder)
            mine.append(await idle_memory(ours, _IDLE) / 1024)
            theirs.append(await idle_memory(other, _IDLE) / 1024)
    return [Figure(scenario=NAME, name="RSS per idle connection", unit="KiB", ours=mine, other=theirs, most=3.0)]
