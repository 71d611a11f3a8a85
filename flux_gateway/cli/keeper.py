"""`flux keeper`: run a proxy's keeper in the foreground."""

from typing import Any

import click

from flux_gateway.cli.daemon_options import load_alone, run_loop, settings_options
from flux_gateway.keeper import daemon
from flux_gateway.keeper.settings import KeeperSettings
from flux_gateway.runtime import logging


@click.command("keeper")
@settings_options(KeeperSettings, redis=False)
def command(log_level: str, **flags: Any) -> None:
    """Run the keeper of a proxy: it holds the clients' connections while the proxy restarts, until SIGTERM.

    \b
    Example:
      flux keeper --socket /run/flux-keeper/keeper.sock
      flux keeper --config /etc/flux/keeper.toml --check
    """
    settings = load_alone(KeeperSettings, "keeper", flags)
    logging.configure(settings.id, log_level, kind="keeper")
    run_loop(daemon.run(settings))
