"""`flux proxy`: run a proxy in the foreground."""

from typing import Any

import click

from flux_gateway.cli.daemon_options import load, run_loop, settings_options
from flux_gateway.proxy import daemon
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.runtime import logging


@click.command("proxy")
@settings_options(ProxySettings)
def command(log_level: str, **flags: Any) -> None:
    """Run a proxy: it routes clients to nodes by their affinity key, until SIGTERM.

    \b
    Example:
      flux proxy --id proxy-1 --host 0.0.0.0 --redis-host 10.0.0.5 --token-file /etc/flux/token
      flux proxy --config /etc/flux/proxy.toml --check
    """
    settings, redis = load(ProxySettings, "proxy", flags)
    logging.configure(settings.id, log_level, kind="proxy")
    run_loop(daemon.run(settings, redis))
