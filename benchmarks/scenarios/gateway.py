"""A gateway node's echo against the asyncio server of the `websockets` library."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.traffic import idle_memory, message_cost
from benchmarks.peers import flux
from benchmarks.peers.process import Process
from benchmarks.peers.websockets_echo import websockets_echo
from benchmarks.scenarios.alternating import alternate
from benchmarks.scenarios.effort import Effort

NAME = "gateway / websockets"
_IDLE = 5000


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Measure everything about serving."""
    with ExitStack() as stack:
        stack.enter_context(flux.redis(folder))
        figures = await _memory(folder, effort, step)
        ours, other = _servers(stack, folder)
        for clients in (100, 1000):
            for window in (1, 16):
                figures += await _messages(ours, other, clients, window, effort, step)
    return figures


def _servers(stack: ExitStack, folder: Path) -> tuple[Process, Process]:
    return stack.enter_context(flux.gateway(folder, measured=True)), stack.enter_context(websockets_echo(folder))


async def _messages(
    ours: Process, other: Process, clients: int, window: int, effort: Effort, step: Step
) -> list[Figure]:
    measure = partial(message_cost, clients=clients, window=window, seconds=effort.seconds)
    title = f"{clients:,} connections, window {window}"
    mine, theirs = await alternate(ours, other, effort.rounds, f"{NAME}: {title}", step, measure)
    return [
        Figure(
            scenario=NAME, name=f"CPU per message, {title}", unit="us", most_ratio=0.65,
            ours=pick(mine, "cpu", 1e6), other=pick(theirs, "cpu", 1e6),
        ),
        Figure(
            scenario=NAME, name=f"p99, {title}", unit="ms",
            ours=pick(mine, "p99", 1e3), other=pick(theirs, "p99", 1e3),
        ),
    ]  # fmt: skip


async def _memory(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    mine, theirs = [], []
    for number in range(effort.fresh_rounds):
        step(f"{NAME}: memory of {2 * _IDLE:,} idle connections, {number + 1} of {effort.fresh_rounds}")
        with ExitStack() as stack:
            ours, other = _servers(stack, folder)
            mine.append(await idle_memory(ours, _IDLE) / 1024)
            theirs.append(await idle_memory(other, _IDLE) / 1024)
    return [Figure(scenario=NAME, name="RSS per idle connection", unit="KiB", ours=mine, other=theirs, most=6.0)]
