"""`flux dashboard`: the dashboard as a daemon."""

from typing import Any

import click

from flux_gateway.cli.daemon_options import load, settings_options
from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.runtime import logging


@click.command("dashboard")
@settings_options(DashboardSettings)
def command(log_level: str, **flags: Any) -> None:
    """Show the cluster live at http://HOST:PORT/dashboard.

    It needs Redis and nothing else. Every setting can also be given in the file or as an environment variable
    (FLUX_DASHBOARD_PORT, FLUX_REDIS_HOST, ...).

    \b
    Example:
      flux dashboard --redis-host 10.0.0.5 --token-file /etc/flux/token
      flux dashboard --config /etc/flux/dashboard.toml --check
    """
    settings, redis = load(DashboardSettings, "dashboard", flags)
    logging.configure("dashboard", log_level)
    # Flask and gunicorn take a while to import, and a wrong setting should not wait for them.
    from flux_gateway.dashboard.daemon import run

    run(settings, redis)
