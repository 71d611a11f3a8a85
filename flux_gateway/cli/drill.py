"""`flux drill`: one fault against one node, with clients talking."""

import asyncio
import sys

import click

from flux_gateway.cli.drills import report
from flux_gateway.cli.drills.faults import FAULTS
from flux_gateway.cli.drills.progress import run, shown
from flux_gateway.cli.drills.step import run_fault
from flux_gateway.cli.drills.witness import Phase, Witness
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.selection import local_cluster

_BEFORE = 2.0
"""Seconds of peace before the fault, for comparison."""


_PLAYBOOKS = {
    "drain": "playbooks/drain.yml, then playbooks/undrain.yml",
    "kill": "playbooks/drills/kill.yml",
    "hang": "playbooks/drills/hang.yml",
    "partition": "playbooks/drills/partition.yml, then playbooks/drills/heal.yml",
}
"""The same fault on a deployed cluster."""


@click.command("drill")
@click.argument("kind", type=click.Choice(list(FAULTS)))
@click.argument("node")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.5, 600), help="how long it lasts")
@click.option("--clients", default=100, show_default=True, type=click.IntRange(1, 5000), help="clients that talk")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def command(ctx: click.Context, kind: str, node: str, seconds: float, clients: int, as_json: bool) -> None:
    """Set one fault against NODE for a while, heal it, and show what clients saw. Exit status 1 if an invariant broke.

    \b
    kill       kill -9; the supervisor starts it again when the time is over
    drain      the node closes its sessions over the time, then takes new ones again
    hang       SIGSTOP, then SIGCONT
    partition  iptables drops everything from and to the node's address; needs root

    \b
    Example:
      flux drill hang gateway-2 --seconds 5
    """
    cluster = local_cluster(ctx, f"on the controller: ansible-playbook {_PLAYBOOKS[kind]}")
    cluster.node(node)
    phases = run(_drill(cluster, kind, node, seconds, clients))
    sys.exit(0 if report.show(phases, as_json) else 1)


async def _drill(cluster: LocalCluster, kind: str, node: str, seconds: float, clients: int) -> list[Phase]:
    witness = Witness(cluster, clients)
    async with shown(seconds + _BEFORE + 6) as say:
        try:
            await witness.start()
            say("peace")
            await asyncio.sleep(_BEFORE)
            phases = [witness.phase("peace")]
            phases += await run_fault(cluster, witness, FAULTS[kind], node, seconds, say)
        finally:
            await witness.stop()
    return phases
