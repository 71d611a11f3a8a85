"""`flux scale`: change the number of gateways."""

import click

from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.restart import wait_ready
from flux_gateway.cli.selection import local_cluster
from flux_gateway.cli.terminal import err


@click.command("scale")
@click.argument("count", type=click.IntRange(1, 200))
@click.pass_context
def command(ctx: click.Context, count: int) -> None:
    """Run COUNT gateway nodes. New ones start; surplus ones, the highest numbers, give their sessions away and stop.

    Sessions move to a new node little by little; `flux rebalance --now` moves them at once.

    \b
    Example:
      flux scale 5 && flux rebalance --now
    """
    cluster = local_cluster(ctx, "add the host to the inventory, then ansible-playbook playbooks/scale_out.yml")
    with err.status(f"scaling to {count} gateways ..."):
        note = scale(cluster, count)
    click.echo(f"gateways: {note}")


def scale(cluster: LocalCluster, count: int) -> str:
    """Have so many gateways, and wait until they are ready. Returns `3 -> 5`. Raises `CommandError`."""
    note = cluster.ask("scale", count=count, patience=cluster.settings.drain_timeout + 30).note
    for number in range(1, count + 1):
        wait_ready(cluster, f"gateway-{number}", 30)
    return note
