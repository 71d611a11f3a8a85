"""How the programs reach Redis: settings, and clients with deadlines and without hidden retries."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import redis
import redis.asyncio
from msgspec import Meta
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from flux_gateway.core.errors import ConfigError, RegistryUnavailable
from flux_gateway.registry import sentinel


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Section `redis` of every program's configuration."""

    host: Annotated[str, Meta(min_length=1, description="address of Redis")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port of Redis")] = 6379
    username: Annotated[str, Meta(description="ACL user; empty for the default user")] = ""
    password_file: Annotated[str, Meta(description="file that holds the password; empty for none")] = ""
    timeout: Annotated[float, Meta(gt=0, le=60, description="seconds to wait for an answer")] = 2.0
    heartbeat_interval: Annotated[
        float, Meta(ge=0.1, le=60, description="seconds between heartbeats; the same for all programs of a cluster")
    ] = 5.0
    sentinels: Annotated[
        tuple[str, ...],
        Meta(description="Redis Sentinels as host:port; they are asked for the master, and host and port are ignored"),
    ] = ()
    sentinel_service: Annotated[str, Meta(min_length=1, description="name under which Sentinels know the master")] = (
        "flux"
    )

    def __post_init__(self) -> None:
        self.sentinel_addresses()

    def sentinel_addresses(self) -> list[tuple[str, int]]:
        """Return `sentinels` as (host, port). Raises ValueError."""
        return [sentinel.parse_address(text) for text in self.sentinels]

    @property
    def heartbeat_life(self) -> float:
        """Seconds after which a member that sent no heartbeat counts as dead: three intervals."""
        return 3 * self.heartbeat_interval

    def password(self) -> str | None:
        """Read the password. Raises `ConfigError` when the file cannot be read."""
        if not self.password_file:
            return None
        try:
            return Path(self.password_file).read_text().strip()
        except OSError as error:
            raise ConfigError([f"redis.password_file {self.password_file}: {error.strerror}"]) from error


class _BoundConnection(Connection):
    """A connection that leaves from a chosen local address, so that cutting that address off cuts off Redis too."""

    source: str | None = None

    def _connection_arguments(self) -> dict[str, Any]:
        arguments = dict(super()._connection_arguments())
        if self.source:
            arguments["local_addr"] = (self.source, 0)
        return arguments

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send; a cancellation is never lost in it.

        redis-py sends with `asyncio.wait_for`, which on Python 3.11 returns as if nothing were when the cancellation
        comes together with the end: a task that was told to stop would go on, and its daemon never end.
        """
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


def connect(settings: RedisSettings, source: str | None = None) -> "redis.asyncio.Redis":
    """Return an asyncio client. `source` is the local address to bind. Nothing is connected before first use."""
    if not settings.sentinels:
        return dialler(settings, source)(settings.host, settings.port)
    options = _async_options(settings)
    addresses = settings.sentinel_addresses()
    pool = sentinel.asyncio_pool(addresses, settings.sentinel_service, _bound(source), options)
    return redis.asyncio.Redis(connection_pool=pool)


def dialler(settings: RedisSettings, source: str | None = None) -> "Callable[[str, int], redis.asyncio.Redis]":
    """Return what makes clients of any Redis, given its host and port; the rest is as in `connect`.

    The password is read once, here: those of a cluster that turn up later cannot fail for want of the file.
    """
    bound, options = _bound(source), _async_options(settings)

    def dial(host: str, port: int) -> "redis.asyncio.Redis":
        pool = ConnectionPool(connection_class=bound, host=host, port=port, **options)
        return redis.asyncio.Redis(connection_pool=pool)

    return dial


def _bound(source: str | None) -> type[_BoundConnection]:
    return type("BoundConnection", (_BoundConnection,), {"source": source})


def _async_options(settings: RedisSettings) -> dict[str, Any]:
    # A failed call is for the caller to judge: the registry fails static, it does not hang in retries.
    return _options(settings) | {"retry": AsyncRetry(NoBackoff(), 0)}


def connect_blocking(settings: RedisSettings) -> "redis.Redis":
    """Return a blocking client for threads (dashboard) and commands."""
    options = _options(settings) | {"retry": Retry(NoBackoff(), 0)}
    if settings.sentinels:
        pool = sentinel.blocking_pool(settings.sentinel_addresses(), settings.sentinel_service, options)
        return redis.Redis.from_pool(pool)
    return redis.Redis(host=settings.host, port=settings.port, **options)


def _options(settings: RedisSettings) -> dict[str, Any]:
    """Return what holds for every connection, to Redis as to its Sentinels."""
    return {
        "username": settings.username or None,
        "password": settings.password(),
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "protocol": 2,
    }


@contextlib.contextmanager
def registry_errors() -> Iterator[None]:
    """Turn whatever goes wrong between here and Redis into `RegistryUnavailable`."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise RegistryUnavailable(f"Redis does not answer: {str(error) or type(error).__name__}") from error
