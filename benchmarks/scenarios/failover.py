"""How long new connections go on being sent to a node that was killed, hangs, or drains, and whether any fails."""

import asyncio
import logging
import time
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, Step, pick
from benchmarks.measuring.arrivals import Arrivals
from benchmarks.measuring.dials import DialWatch
from benchmarks.measuring.traffic import silent, with_load
from benchmarks.peers import addresses
from benchmarks.peers.cluster import cluster
from benchmarks.scenarios.effort import Effort
from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.drills.faults import FAULTS, routed
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load
from flux_gateway.supervisor.settings import GATEWAY_PORT

log = logging.getLogger(__name__)

NAME = "failover"

_TARGETS = {"kill": 0.1, "hang": 3.0, "drain": 0.1}
"""Seconds until no new connection may be sent to the node."""

_RATE = 200.0
"""New connections per second: a third of them, one every 15 ms, would be the faulty node's."""

_LEAD = 2.0
_WATCHED = {"kill": 2.0, "hang": 5.0, "drain": 2.0}
"""Seconds of watching after the fault."""

_BACK = 40.0

_BACKGROUND = 1500
"""Silent connections on the cluster. On an empty one, bounded load alone would stop new connections to a hung node once
a few dozen have piled up there; here the bound is far away, and what is measured is how the fault is noticed."""


class Run(msgspec.Struct, frozen=True):
    """One fault."""

    last_dial: float
    """Seconds from the fault to the last connection that the proxy sent to the node."""
    unusable: float
    """Seconds from the fault until the proxy's `/info` said that the node is out of routing; asked every 10 ms."""
    failed: int
    """New connections that failed meanwhile."""
    slowest: float
    """Seconds the slowest new connection took."""
    sent: int
    """New connections the proxy sent to the node from the fault on."""


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Set every fault several times, on the nodes in turn."""
    figures = []
    for kind in _TARGETS:
        step(f"{NAME}: {kind}: starting a cluster")
        # A cluster for each kind: a node that has failed often is trusted again only after a growing pause.
        with cluster(folder) as mine:
            runs = await _faults(mine, kind, effort.faults, step)
        figures += _figures(kind, runs)
    return figures


async def _faults(mine: Cluster, kind: str, count: int, step: Step) -> list[Run]:
    address = (addresses.CLUSTER_HOST, addresses.CLUSTER_PORT)
    arrivals = Arrivals(address, addresses.CLUSTER_HOST, _RATE)
    arrivals.start()
    try:
        runs = []
        for number in range(count):
            step(f"{NAME}: {kind}, {number + 1} of {count}")
            act = partial(_one, mine, kind, number % mine.settings.gateways + 1, arrivals)
            runs.append(await with_load(silent(f"{mine.url}/echo", _BACKGROUND), act))
        return runs
    finally:
        await arrivals.stop()


async def _one(mine: Cluster, kind: str, number: int, arrivals: Arrivals, _: Load) -> Run:
    node, fault = f"gateway-{number}", FAULTS[kind]
    with DialWatch((mine.settings.address(1, number), GATEWAY_PORT)) as watch:
        await asyncio.sleep(_LEAD)
        if time.monotonic() - watch.last_dial > 0.5:
            raise CommandError(f"{node} gets no new connections: there is nothing to measure")
        arrivals.reset()
        watch.dials = 0
        began = time.monotonic()
        try:
            await asyncio.to_thread(fault.begin, mine, node, _WATCHED[kind])
            usable = asyncio.create_task(routed(mine, node, False, _WATCHED[kind]), name="routed around")
            await asyncio.sleep(_WATCHED[kind])
            sent, last_dial = watch.dials, max(0.0, watch.last_dial - began)
            around = await usable
            await arrivals.settled()
        finally:
            await asyncio.to_thread(fault.end, mine, node, 0.0)
    if around is None:
        raise CommandError(f"{node}: the proxy has not noticed the {kind}")
    for failure in arrivals.failed:
        log.warning("a new connection failed during %s: %s", kind, failure)
    result = Run(last_dial, around, len(arrivals.failed), arrivals.slowest, sent)
    if await routed(mine, node, True, _BACK) is None:
        raise CommandError(f"{node} has not come back into routing")
    return result


def _figures(kind: str, runs: list[Run]) -> list[Figure]:
    target = _TARGETS[kind]
    return [
        Figure(scenario=NAME, name=f"{kind}: last new connection sent there", unit="s", worst=True, most=target,
               ours=pick(runs, "last_dial")),
        Figure(scenario=NAME, name=f"{kind}: new connections sent there", unit="", ours=pick(runs, "sent")),
        Figure(scenario=NAME, name=f"{kind}: proxy says unusable", unit="s", ours=pick(runs, "unusable")),
        Figure(scenario=NAME, name=f"{kind}: new connections failed", unit="", worst=True, most=0.0,
               ours=pick(runs, "failed")),
        Figure(scenario=NAME, name=f"{kind}: slowest new connection", unit="s", ours=pick(runs, "slowest")),
    ]  # fmt: skip
