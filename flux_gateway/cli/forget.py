"""`flux forget`: remove a stopped or dead node from the registry."""

import click

from flux_gateway.cli.selection import cluster_of
from flux_gateway.cli.status import shown_state
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import GONE


@click.command("forget")
@click.argument("member")
@click.pass_context
def command(ctx: click.Context, member: str) -> None:
    """Remove MEMBER, a node or proxy that is STOPPED or DEAD, with its samples. Its slots go to the others for good.

    \b
    Example:
      flux forget gateway-4
    """
    cluster = cluster_of(ctx)
    snapshot = cluster.snapshot()
    record = snapshot.nodes.get(member) or snapshot.proxies.get(member)
    if record is None:
        there_are = ", ".join([*snapshot.nodes, *snapshot.proxies]) or "none"
        raise CommandError(f"there is no node or proxy {member!r}; there are {there_are}")
    state = shown_state(record, snapshot)
    if state not in GONE:
        raise CommandError(f"{member} is {state}: only what is STOPPED or DEAD can be forgotten; stop it first")
    cluster.reader.forget(member, by="flux")
    click.echo(f"forgot {member}")
