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
from flux_gateway.cli.drills.faults import FAULTS
from flux_gateway.cli.drills.routing import routed_around
from flux_gateway.cli.local import LocalCluster
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

_QUIET = 0.5
"""Seconds without a new connection after which a healthy node counts as not used."""

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
        runs = []
        for number in range(effort.faults):
            step(f"{NAME}: {kind}, {number + 1} of {effort.faults}")
            # Each time a new cluster: one that remembers a fault trusts the node, and fills it, only bit by bit.
            with cluster(folder) as mine:
                node = number % mine.settings.gateways + 1
                act = partial(_one, mine, kind, node)
                runs.append(await with_load(silent(f"{mine.url}/echo", _BACKGROUND), act))
        figures += _figures(kind, runs)
    return figures


async def _one(mine: LocalCluster, kind: str, number: int, _: Load) -> Run:
    address = (addresses.CLUSTER_HOST, addresses.CLUSTER_PORT)
    arrivals = Arrivals(address, addresses.CLUSTER_HOST, _RATE)
    arrivals.start()
    try:
        with DialWatch((mine.settings.address(1, number), GATEWAY_PORT)) as watch:
            return await _fault(mine, kind, f"gateway-{number}", arrivals, watch)
    finally:
        await arrivals.stop()


async def _fault(mine: LocalCluster, kind: str, node: str, arrivals: Arrivals, watch: DialWatch) -> Run:
    await asyncio.sleep(_LEAD)
    if time.monotonic() - watch.last_dial > _QUIET:
        raise CommandError(f"{node} gets no new connections: there is nothing to measure")
    arrivals.reset()
    watch.dials = 0
    began, seconds = time.monotonic(), _WATCHED[kind]
    try:
        await asyncio.to_thread(FAULTS[kind].begin, mine, node, seconds)
        begun = time.monotonic() - began
        usable = asyncio.create_task(routed_around(mine, node), name="routed around")
        await asyncio.sleep(seconds)
        sent, last_dial, around = watch.dials, max(0.0, watch.last_dial - began), await usable
        await arrivals.settled()
    finally:
        await asyncio.to_thread(FAULTS[kind].end, mine, node, 0.0)
    if around is None:
        raise CommandError(f"{node}: the proxy has not noticed the {kind}")
    for failure in arrivals.failed:
        log.warning("a new connection failed during %s: %s", kind, failure)
    return Run(last_dial, begun + around, len(arrivals.failed), arrivals.slowest, sent)


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
