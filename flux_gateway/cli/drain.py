"""`flux drain`: make a node give up its sessions."""

import click

from flux_gateway.cli.cluster import cluster_of


@click.command("drain")
@click.argument("node")
@click.option("--seconds", type=click.FloatRange(0, 3600), help="window for the closes [default: the node's setting]")
@click.pass_context
def command(ctx: click.Context, node: str, seconds: float | None) -> None:
    """NODE takes no new sessions and closes its own, evenly spread over the window. It stays up, empty.

    \b
    Example:
      flux drain gateway-1 --seconds 10
    """
    cluster = cluster_of(ctx)
    cluster.node(node)
    answer = cluster.post(node, "/drain" if seconds is None else f"/drain?seconds={seconds:g}")
    click.echo(f"{node} is {answer['state']}; {answer['sessions']} sessions to give up")
