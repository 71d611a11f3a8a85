"""`flux undrain`: let a drained node take sessions again."""

import click

from flux_gateway.cli.selection import cluster_of


@click.command("undrain")
@click.argument("node")
@click.pass_context
def command(ctx: click.Context, node: str) -> None:
    """NODE takes sessions again. A drain that is still running ends.

    \b
    Example:
      flux undrain gateway-1
    """
    cluster = cluster_of(ctx)
    cluster.node(node)
    click.echo(f"{node} is {cluster.post(node, '/undrain')['state']}")
