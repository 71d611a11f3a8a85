"""`flux demo`: everything that must not disturb clients, done while they talk."""

import asyncio
import os
import shutil
import sys

import click

from flux_gateway.cli.drills import changes, report
from flux_gateway.cli.drills.changes import Change
from flux_gateway.cli.drills.faults import FAULTS
from flux_gateway.cli.drills.progress import run, shown
from flux_gateway.cli.drills.step import run_change, run_fault
from flux_gateway.cli.drills.witness import Phase, Witness
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.selection import local_cluster
from flux_gateway.cli.status import shown_state
from flux_gateway.cli.terminal import err
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState

_CLIENTS = 300
_BEFORE = 3.0
_NODES = 3
"""Nodes there must be: the faults strike one each, and the others need to have room."""

_DRAINED, _DEAD, _SILENT = 3.0, 5.0, 6.0
"""Seconds that a node is drained, stays dead, hangs or is cut off. Silence shows after 3."""

_WATCH = 2.0
"""Seconds that clients are watched after a change."""

_ABOUT = 60.0
"""Seconds that all of it takes, for the bar."""


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """300 clients talk while nodes and proxies are drained, restarted, added, killed, hung and cut off. About a minute.

    \b
    1  a node is drained
    2  every gateway, then every proxy, is restarted
    3  a node is added and gets its share of the sessions, then goes
    4  kill -9 of a node; another hangs; a third is cut off (with root)
    5  a proxy is restarted
    6  kill -9 of a proxy
    7  kill -9 of a keeper, which holds a proxy's sockets

    Exit status 1 if an invariant broke: no client may be closed, and in the planned steps no message be lost.

    \b
    Example:
      flux demo
    """
    cluster = local_cluster(ctx, "the drills of the playbooks, e.g. ansible-playbook playbooks/drills/kill.yml")
    nodes = _nodes(cluster)
    phases = run(_demo(cluster, nodes))
    sys.exit(0 if report.show(phases, as_json, brief=True) else 1)


def _nodes(cluster: LocalCluster) -> list[str]:
    snapshot = cluster.snapshot()
    nodes = [node.id for node in snapshot.nodes.values() if shown_state(node, snapshot) is NodeState.UP]
    if len(nodes) < _NODES:
        raise CommandError(f"the demo needs {_NODES} nodes that are UP, there are {len(nodes)}; see `flux status`")
    return nodes[:_NODES]


async def _demo(cluster: LocalCluster, nodes: list[str]) -> list[Phase]:
    witness = Witness(cluster, _CLIENTS)
    first, second, third = nodes
    count = changes.gateways(cluster)
    async with shown(_ABOUT) as say:

        async def change(number: int, what: Change) -> None:
            phase = await run_change(cluster, witness, what, lambda text: say(f"{number} of 7: {text}"), _WATCH)
            phases.append(report.numbered(number, phase))

        async def fault(number: int, kind: str, node: str, seconds: float) -> None:
            (phase,) = await run_fault(
                cluster, witness, FAULTS[kind], node, seconds, lambda text: say(f"{number} of 7: {text}"), split=False
            )
            phases.append(report.numbered(number, phase))

        try:
            await witness.start()
            say("peace")
            await asyncio.sleep(_BEFORE)
            phases = [await witness.phase("  peace")]
            await fault(1, "drain", first, _DRAINED)
            await change(2, changes.rolled("gateway"))
            await change(2, changes.rolled("proxy"))
            await change(3, changes.scaled_out(count + 1))
            await change(3, changes.scaled_in(count))
            await fault(4, "kill", second, _DEAD)
            await fault(4, "hang", third, _SILENT)
            if os.geteuid() == 0 and shutil.which("iptables"):
                await fault(4, "partition", first, _SILENT)
            else:
                err.print("no node is cut off: that needs root and iptables")
            await change(5, changes.restarted("proxy-1"))
            await change(6, changes.killed("proxy-1"))
            await change(7, changes.killed("keeper-1"))
        finally:
            await witness.stop()
    return phases
