"""`flux redis`: redis-cli on the cluster's Redis."""

import os
import sys

import click
from redis.sentinel import SentinelConnectionPool

from flux_gateway.cli.selection import cluster_of
from flux_gateway.core.errors import CommandError
from flux_gateway.registry.connect import RedisSettings, connect_blocking, registry_errors
from flux_gateway.supervisor.topology import redis_binary


@click.command("redis", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run redis-cli with ARGUMENTS on the cluster's Redis, the master of several; without any, interactively.

    On a deployed cluster this is the user of the daemons, who may do what they need and no more.

    \b
    Example:
      flux redis HGETALL gateway:nodes
      flux redis SUBSCRIBE gateway:events
    """
    redis = cluster_of(ctx).redis
    host, port = address(redis)
    user = ["--user", redis.username] if redis.username else []
    # The password goes through the environment: an argument list is visible to everyone on the machine.
    environment = {name: value for name, value in os.environ.items() if name != "REDISCLI_AUTH"}
    password = redis.password()
    if password:
        environment["REDISCLI_AUTH"] = password
    binary = _binary()
    sys.stdout.flush()
    os.execve(binary, [binary, "-h", host, "-p", str(port), *user, *arguments], environment)  # noqa: S606


def address(redis: RedisSettings) -> tuple[str, int]:
    """Return the address of Redis; where there are Sentinels, they are asked. Raises `RegistryUnavailable`."""
    with connect_blocking(redis) as client:
        pool = client.connection_pool
        if not isinstance(pool, SentinelConnectionPool):
            return redis.host, redis.port
        with registry_errors():
            host, port = pool.get_master_address()  # type: ignore[no-untyped-call]
            return str(host), int(port)


def _binary() -> str:
    try:
        return redis_binary("redis-cli")
    except CommandError as error:
        raise CommandError(
            "redis-cli is not on this host: apt install redis-tools, or run this on a host of the group redis"
        ) from error
