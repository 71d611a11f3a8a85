"""One fault against one node, from its beginning until the node serves again."""

import asyncio
from collections.abc import Callable

from flux_gateway.cli.drills.faults import Fault, back, routed_around
from flux_gateway.cli.drills.witness import Phase, Witness
from flux_gateway.cli.local import LocalCluster

_SETTLE = 2.0
"""Seconds after the node is back that still belong to its return."""

Say = Callable[[str], None]


async def run_fault(
    cluster: LocalCluster, witness: Witness, fault: Fault, node: str, seconds: float, say: Say
) -> list[Phase]:
    """Set the fault for `seconds`, heal it, wait until the node serves again. Returns both phases.

    The fault is healed whatever happens.
    """
    say(f"{fault.kind} {node}")
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.to_thread(fault.begin, cluster, node, seconds)
    try:
        around = await routed_around(cluster, node)
        missed = "" if around is not None else f"{node} still got new sessions after 20 s"
        await asyncio.sleep(max(0.0, started + seconds - loop.time()))
        during = witness.phase(f"{fault.kind} {node}", fault.codes, around, missed)
    finally:
        say(f"healing {node}")
        await asyncio.to_thread(fault.end, cluster, node, seconds)
    returned = await back(cluster, node)
    missed = "" if returned is not None else f"{node} got no new sessions again"
    await asyncio.sleep(_SETTLE)
    if not await witness.all_connected(10.0):
        missed = missed or "not every client has a connection again"
    return [during, witness.phase(f"{node} returns", fault.codes, None, missed)]
