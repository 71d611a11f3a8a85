"""`flux redis`: redis-cli on the cluster's Redis."""

import os
import sys

import click

from flux_gateway.cli.cluster import cluster_of
from flux_gateway.supervisor.topology import redis_binary


@click.command("redis", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run redis-cli with ARGUMENTS on the cluster's Redis; without any, interactively.

    \b
    Example:
      flux redis HGETALL gateway:nodes
      flux redis MONITOR
    """
    redis = cluster_of(ctx).redis
    binary = redis_binary("redis-cli")
    # The password goes through the environment: an argument list is visible to everyone on the machine.
    environment = {**os.environ, "REDISCLI_AUTH": redis.password() or ""}
    sys.stdout.flush()
    os.execve(binary, [binary, "-h", redis.host, "-p", str(redis.port), *arguments], environment)  # noqa: S606
