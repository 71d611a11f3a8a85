"""`flux dashboard`: the dashboard as a daemon."""

from pathlib import Path

import click

from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.registry.connect import RedisSettings
from flux_gateway.runtime.config import load
from flux_gateway.runtime.logging import configure


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file: [dashboard] and [redis].")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [default: 9090]")
@click.option("--token-file", help="File that holds the cluster's admin token; without it the page is read-only.")
@click.option("--redis-host", help="Address of Redis.  [default: 127.0.0.1]")
@click.option("--redis-port", type=int, help="Port of Redis.  [default: 6379]")
@click.option("--redis-password-file", help="File that holds the password of Redis.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True,
    help="How much to log.",
)
def command(
    config: Path | None,
    host: str | None,
    port: int | None,
    token_file: str | None,
    redis_host: str | None,
    redis_port: int | None,
    redis_password_file: str | None,
    log_level: str,
) -> None:
    """Show the cluster live at http://HOST:PORT/dashboard.

    It needs Redis and nothing else. Every setting can also be given in the file or as an environment variable
    (FLUX_DASHBOARD_PORT, FLUX_REDIS_HOST, ...).

    \b
    Example:
      flux dashboard --redis-host 10.0.0.5 --token-file /etc/flux/admin.token
    """
    configure("dashboard", log_level)
    settings = load(
        DashboardSettings, "dashboard", file=config, flags={"host": host, "port": port, "token_file": token_file}
    )
    redis_settings = load(
        RedisSettings,
        "redis",
        file=config,
        flags={"host": redis_host, "port": redis_port, "password_file": redis_password_file},
    )
    # Flask and gunicorn take a while to import, and a wrong setting should not wait for them.
    from flux_gateway.dashboard.daemon import run

    run(settings, redis_settings)
