"""`flux scale`: change the number of gateways."""

import click

from flux_gateway.cli.cluster import cluster_of
from flux_gateway.cli.restart import wait_ready
from flux_gateway.cli.terminal import err


@click.command("scale")
@click.argument("count", type=click.IntRange(1, 200))
@click.pass_context
def command(ctx: click.Context, count: int) -> None:
    """Run COUNT gateway nodes. New ones start; surplus ones, the highest numbers, drain and stop.

    \b
    Example:
      flux scale 5
    """
    cluster = cluster_of(ctx)
    with err.status(f"scaling to {count} gateways ..."):
        note = cluster.ask("scale", count=count, patience=cluster.settings.drain_timeout + 30).note
        for number in range(1, count + 1):
            wait_ready(cluster, f"gateway-{number}", 30)
    click.echo(f"gateways: {note}")
