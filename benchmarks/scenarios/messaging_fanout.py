"""One publication to many subscribers: a node of ours beside nchan and beside `ws`, with the same subscribers."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring import publishers
from benchmarks.measuring.audience import Audience, Door, audience
from benchmarks.measuring.fanout import Fanout, fanout_cost
from benchmarks.measuring.publishers import DATA, Publish
from benchmarks.peers import addresses, flux, messaging
from benchmarks.peers import nchan as nginx
from benchmarks.peers import ws as nodejs
from benchmarks.peers.process import Process
from benchmarks.scenarios.effort import Effort
from flux_gateway.core.frames import TEXT
from flux_gateway.load.frames import client_frame

NAME = "messaging: fan-out"

OURS, NCHAN, WS = "Flux", "nchan", "ws"

_CHANNEL = "bench"
_SUBSCRIBERS = (1000, 5000)


class _Way(NamedTuple):
    title: str
    number: int
    """Publications that come in one go."""
    target: float | None
    """Processor time per delivery, times nchan's."""


_HERE = _Way("one publication", 1, 1.0)
_ELSEWHERE = _Way("one publication by another node", 1, None)
"""The fan-out alone; the others have no other node, so they publish as ever."""
_MANY = _Way("20 publications at once", 20, 0.35)

_WAYS = (_HERE, _ELSEWHERE, _MANY)

_SETTLE = 1.0


class _Server(NamedTuple):
    process: Process
    audience: Audience
    publish: dict[_Way, Publish]


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Measure every number of subscribers, with fresh servers."""
    figures: list[Figure] = []
    for subscribers in _SUBSCRIBERS:
        async with AsyncExitStack() as stack:
            stack.enter_context(flux.redis(folder))
            step(f"{NAME}: {subscribers:,} subscribers are coming")
            servers = await _servers(stack, folder, subscribers)
            await asyncio.sleep(_SETTLE)
            for way in _WAYS:
                figures += await _compare(servers, subscribers, way, effort, step)
    return sorted(figures, key=lambda figure: figure.scenario)  # in its order otherwise


def doors() -> dict[str, Door]:
    """Return how one subscribes at each server."""
    return {
        OURS: Door(addresses.NODE, messaging.PATH, messaging.hello(_CHANNEL), messaging.READY),
        NCHAN: Door(addresses.NCHAN, nginx.SUBSCRIBE),
        WS: Door(addresses.WS, nodejs.SUBSCRIBE),
    }


def start(name: str, folder: Path) -> Process:
    """Start one of the servers."""
    return {OURS: messaging.node, NCHAN: nginx.nchan, WS: nodejs.ws}[name](folder)


async def _servers(stack: AsyncExitStack, folder: Path, subscribers: int) -> dict[str, _Server]:
    found = {}
    for name, door in doors().items():
        process = stack.enter_context(start(name, folder))
        there = await stack.enter_async_context(audience([door] * subscribers))
        found[name] = _Server(process, there, {})
    ours, nchan, ws = found.values()
    by_client = publishers.by_frames(
        Door(ours.process.address, messaging.PATH, messaging.hello(), messaging.CONNECTED),
        messaging.publish(_CHANNEL, DATA),
    )
    ours.publish[_HERE] = await stack.enter_async_context(by_client)
    # One client's commands are carried out one after the other: what is to come at once comes from another node.
    by_redis = await stack.enter_async_context(publishers.by_redis(_CHANNEL))
    ours.publish[_ELSEWHERE] = ours.publish[_MANY] = by_redis
    by_http = await stack.enter_async_context(publishers.by_http(nchan.process.address, nginx.PUBLISH))
    by_frames = await stack.enter_async_context(
        publishers.by_frames(Door(ws.process.address, nodejs.PUBLISH), client_frame(TEXT, DATA))
    )
    nchan.publish.update(dict.fromkeys(_WAYS, by_http))
    ws.publish.update(dict.fromkeys(_WAYS, by_frames))
    return found


async def _compare(
    servers: dict[str, _Server], subscribers: int, way: _Way, effort: Effort, step: Step
) -> list[Figure]:
    title = f"{subscribers:,} subscribers, {way.title}"
    found: dict[str, list[Fanout]] = {name: [] for name in servers}
    names = list(servers)
    for turn in range(effort.rounds):
        step(f"{NAME}: {title}: round {turn + 1} of {effort.rounds}")
        # None is always first.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            one = servers[name]
            found[name].append(
                await fanout_cost(one.process, one.audience, one.publish[way], way.number, effort.seconds)
            )
    return [figure for other in (NCHAN, WS) for figure in _figures(title, found, other, way.target)]


def _figures(title: str, found: dict[str, list[Fanout]], other: str, target: float | None) -> list[Figure]:
    ours, theirs = found[OURS], found[other]
    return [
        Figure(
            scenario=f"{NAME} / {other}", name=f"{title}: CPU per delivery", unit="us",
            most_ratio=target if other == NCHAN else None, ours=pick(ours, "cpu", 1e6), other=pick(theirs, "cpu", 1e6),
        ),
        Figure(
            scenario=f"{NAME} / {other}", name=f"{title}: last one has it", unit="ms",
            ours=pick(ours, "last", 1e3), other=pick(theirs, "last", 1e3),
        ),
    ]  # fmt: skip


PARTS = (run,)
