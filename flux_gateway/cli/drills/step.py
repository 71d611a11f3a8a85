"""One fault or one change, from its beginning until the cluster is whole again, and what clients saw meanwhile."""

import asyncio
import math
from collections.abc import Callable

from flux_gateway.cli.drills.changes import Change
from flux_gateway.cli.drills.faults import Fault
from flux_gateway.cli.drills.routing import back, routed_around, sessions_on
from flux_gateway.cli.drills.witness import NOTHING, RATE, Allowance, Phase, Witness
from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError

SETTLE = 2.0
"""Seconds after the cluster is whole again that still belong to the step."""

_CONNECTED = 10.0
"""Seconds in which every client must be connected after a step."""

Say = Callable[[str], None]


async def run_fault(
    cluster: LocalCluster, witness: Witness, fault: Fault, node: str, seconds: float, say: Say, *, split: bool = True
) -> list[Phase]:
    """Set the fault for `seconds`, heal it, wait until the node serves again. Returns both phases, or one for both.

    The fault is healed whatever happens.
    """
    say(f"{fault.kind} {node}: {fault.text}")
    allowed, title, phases = await _allowance(cluster, witness, fault, node), _title(fault, node), []
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.to_thread(fault.begin, cluster, node, seconds)
    try:
        around = await routed_around(cluster, node)
        missed = "" if around is not None else f"{node} still got new sessions after 20 s"
        await asyncio.sleep(max(0.0, started + seconds - loop.time()))
        if split:
            phases.append(await witness.phase(title, allowed, around, missed))
            allowed, title, around, missed = allowed.after(phases[0]), f"{node} returns", None, ""
    finally:
        say(f"healing {node}")
        await asyncio.to_thread(fault.end, cluster, node, seconds)
    returned = await back(cluster, node)
    if returned is None:
        missed = missed or f"{node} got no new sessions again"
    await asyncio.sleep(SETTLE)
    missed = missed or await _absent(witness)
    return [*phases, await witness.phase(title, allowed, around, missed)]


def _title(fault: Fault, node: str) -> str:
    return f"kill -9 {node}" if fault.kind == "kill" else f"{fault.kind} {node}"


async def _allowance(cluster: LocalCluster, witness: Witness, fault: Fault, node: str) -> Allowance:
    if not fault.sudden:
        return NOTHING
    lost = math.ceil(await sessions_on(cluster, node) * RATE * fault.silence)
    return Allowance(lost=lost, closed=witness.cut(), retried=witness.cut())


async def run_change(cluster: LocalCluster, witness: Witness, change: Change, say: Say, settle: float) -> Phase:
    """Make the change, wait until it is done and for `settle` seconds more. Returns the phase."""
    say(change.title)
    allowed, missed = NOTHING, ""
    if change.sudden:
        # Bytes that a proxy has read and not passed on show in the counters: those clients are closed, not robbed.
        allowed = Allowance(closed=witness.cut(), retried=witness.cut())
    try:
        await asyncio.to_thread(change.run, cluster)
    except CommandError as error:
        missed = str(error)
    await asyncio.sleep(settle)
    missed = missed or await _absent(witness)
    return await witness.phase(change.title, allowed, None, missed)


async def _absent(witness: Witness) -> str:
    return "" if await witness.all_connected(_CONNECTED) else "not every client has a connection again"
