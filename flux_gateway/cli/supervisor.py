"""`flux supervisor`: run the supervisor in the foreground. `flux up` starts it."""

import asyncio

import click

from flux_gateway.cli.selection import local_state
from flux_gateway.runtime import config, logging
from flux_gateway.supervisor import daemon
from flux_gateway.supervisor.settings import ClusterSettings


@click.command("supervisor")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run every process of the cluster described in the state directory, until SIGTERM.

    \b
    Example:
      flux --state-dir .flux supervisor
    """
    state = local_state(ctx, "systemd runs the daemons: systemctl status 'flux-*'")
    settings = config.load(ClusterSettings, "cluster", file=state.config)
    logging.configure("supervisor")
    asyncio.run(daemon.run(settings, state))
