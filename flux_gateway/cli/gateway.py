"""`flux gateway`: run a node in the foreground."""

from typing import Any

import click

from flux_gateway.cli.daemon_options import load_with_messaging, run_loop, settings_options
from flux_gateway.gateway import daemon
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.runtime import logging


@click.command("gateway")
@settings_options(GatewaySettings, messaging=True)
def command(log_level: str, **flags: Any) -> None:
    """Run a gateway node: it holds the clients' WebSockets, until SIGTERM and its drain are over.

    \b
    Example:
      flux gateway --id gateway-1 --host 10.0.0.11 --redis-host 10.0.0.5 --trusted-proxies 10.0.0.2/32
      flux gateway --config /etc/flux/gateway-1.toml --check
    """
    settings, redis, messaging = load_with_messaging(GatewaySettings, "gateway", flags)
    logging.configure(settings.id, log_level, kind="gateway")
    run_loop(daemon.run(settings, redis, messaging))
