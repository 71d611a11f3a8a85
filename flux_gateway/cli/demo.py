"""`flux demo`: break things while clients talk, and show what they saw."""

import asyncio
import os
import shutil
import sys

import click

from flux_gateway.cli.drills import report
from flux_gateway.cli.drills.faults import FAULTS
from flux_gateway.cli.drills.progress import run, shown
from flux_gateway.cli.drills.step import run_fault
from flux_gateway.cli.drills.witness import Phase, Witness
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.selection import local_cluster
from flux_gateway.cli.status import shown_state
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState

_CLIENTS = 300
_BEFORE = 3.0
_STEPS = (("drain", 10.0), ("kill", 8.0), ("hang", 8.0))
"""Fault and seconds, for the first, second and third node."""


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """300 clients talk while the first node drains, the second is killed, the third is cut off (or, without root,
    hangs), and each comes back. Takes about a minute. Exit status 1 if an invariant broke.

    \b
    Example:
      flux demo
    """
    cluster = local_cluster(ctx, "the drills of the playbooks, e.g. ansible-playbook playbooks/drills/kill.yml")
    nodes = _nodes(cluster)
    phases = run(_demo(cluster, nodes))
    sys.exit(0 if report.show(phases, as_json) else 1)


def _nodes(cluster: LocalCluster) -> list[str]:
    snapshot = cluster.snapshot()
    nodes = [node.id for node in snapshot.nodes.values() if shown_state(node, snapshot) is NodeState.UP]
    if len(nodes) < len(_STEPS):
        raise CommandError(f"the demo needs {len(_STEPS)} nodes that are UP, there are {len(nodes)}; see `flux status`")
    return nodes[: len(_STEPS)]


async def _demo(cluster: LocalCluster, nodes: list[str]) -> list[Phase]:
    witness = Witness(cluster, _CLIENTS)
    async with shown(_BEFORE + sum(seconds for _, seconds in _STEPS) + 5 * len(_STEPS)) as say:
        try:
            await witness.start()
            say("peace")
            await asyncio.sleep(_BEFORE)
            phases = [witness.phase("peace")]
            for (kind, seconds), node in zip(_STEPS, nodes, strict=True):
                chosen = FAULTS[_cut_off() if kind == "hang" else kind]
                phases += await run_fault(cluster, witness, chosen, node, seconds, say)
        finally:
            await witness.stop()
    return phases


def _cut_off() -> str:
    return "partition" if os.geteuid() == 0 and shutil.which("iptables") else "hang"
