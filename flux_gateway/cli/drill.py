"""`flux drill`: one thing done to the cluster, with clients talking."""

import asyncio
import sys

import click

from flux_gateway.cli.drills import changes, report
from flux_gateway.cli.drills.faults import FAULTS
from flux_gateway.cli.drills.progress import run, shown
from flux_gateway.cli.drills.step import run_change, run_fault
from flux_gateway.cli.drills.witness import Phase, Witness
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.selection import local_cluster

_BEFORE = 2.0
"""Seconds of peace before it, for comparison."""


_PLAYBOOKS = {
    "drain": "playbooks/drain.yml, then playbooks/undrain.yml",
    "kill": "playbooks/drills/kill.yml, proxy_kill.yml or keeper_kill.yml",
    "hang": "playbooks/drills/hang.yml",
    "partition": "playbooks/drills/partition.yml, then playbooks/drills/heal.yml",
    "restart": "playbooks/drills/stop.yml or proxy_restart.yml",
    "rolling-restart": "playbooks/rolling_update.yml",
    "scale": "playbooks/scale_out.yml",
}
"""The same on a deployed cluster."""


@click.command("drill")
@click.argument("kind", type=click.Choice(changes.KINDS))
@click.argument("process", required=False)
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.5, 600),
              help="how long a fault lasts, or how long clients are watched after a restart")  # fmt: skip
@click.option("--clients", default=100, show_default=True, type=click.IntRange(1, 5000), help="clients that talk")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def command(
    ctx: click.Context, kind: str, process: str | None, seconds: float, clients: int, as_json: bool
) -> None:
    """Do one thing to PROCESS while clients talk, undo it, and show what they saw. Exit status 1 if an invariant broke.

    \b
    drain            a node's sessions move to the others; later it takes new ones again
    kill             SIGKILL. A node stays dead for a while; a proxy or keeper starts again at once
    hang             SIGSTOP to a node, then SIGCONT
    partition        iptables drops everything from and to the node's address; needs root
    restart          graceful, of a node, a proxy or a keeper
    rolling-restart  every gateway, then every proxy, one after another
    scale            one node more, sessions move there at once, then back

    No client may be closed, none may lose a message, but for what a fault leaves no choice: a node that is killed,
    hangs or is cut off takes what its clients have just sent with it, and a kill may catch a client in the middle of
    a frame; both are counted, and have a bound.

    \b
    Example:
      flux drill hang gateway-2 --seconds 5
      flux drill kill proxy-1
      flux drill scale
    """
    cluster = local_cluster(ctx, f"on the controller: ansible-playbook {_PLAYBOOKS[kind]}")
    whole = kind in changes.WITHOUT_NAME
    if whole and process:
        raise click.UsageError(f"{kind} is about the whole cluster: give no PROCESS", ctx)
    if not whole and not process:
        raise click.UsageError(f"which PROCESS? For example: flux drill {kind} gateway-1", ctx)
    found = changes.of(cluster, kind, process or "")
    phases = run(_drill(cluster, kind, process or "", found, seconds, clients))
    sys.exit(0 if report.show(phases, as_json) else 1)


async def _drill(
    cluster: LocalCluster, kind: str, name: str, found: list[changes.Change], seconds: float, clients: int
) -> list[Phase]:
    witness = Witness(cluster, clients)
    async with shown(seconds * max(1, len(found)) + _BEFORE + 6) as say:
        try:
            await witness.start()
            say("peace")
            await asyncio.sleep(_BEFORE)
            phases = [await witness.phase("peace")]
            for change in found:
                phases.append(await run_change(cluster, witness, change, say, seconds))
            if not found:
                phases += await run_fault(cluster, witness, FAULTS[kind], name, seconds, say)
        finally:
            await witness.stop()
    return phases
