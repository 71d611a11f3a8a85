"""Pools that ask Redis Sentinels for the master before each new connection, so that a fail-over is followed.

redis-py's own pools do the asking. What is added here: the source address, credentials also for the Sentinels, and that
whatever says "not the master any more" ends the connection, also out of a script.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import redis
import redis.asyncio
from redis.asyncio import sentinel as asyncio_sentinel
from redis.asyncio.connection import Connection as AsyncConnection
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.exceptions import ResponseError
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

Address = tuple[str, int]

_DEMOTED = ("READONLY ", "NOREPLICAS ")
"""Answers of a Redis that is a replica by now, or a master cut off from its replicas (`min-replicas-to-write`)."""


def parse_address(text: str, setting: str = "sentinels") -> Address:
    """Return (host, port) of `host:port`; an IPv6 address stands in brackets. Raises ValueError, naming the setting."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{setting}: {text!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def demoted(error: ResponseError) -> bool:
    """Tell whether the answer means that the master is another one.

    Redis before 7 wraps what fails within a script: `ERR Error running script ...: -READONLY You can't write ...`.
    """
    text = str(error) + " "
    return any(text.startswith(word) or f"-{word}" in text for word in _DEMOTED)


class _AsyncConnection(asyncio_sentinel.SentinelManagedConnection):
    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as error:
            if not demoted(error):
                raise
            await self.disconnect()
            raise redis.ConnectionError("the previous master is now a replica") from error


class _AsyncPool(asyncio_sentinel.SentinelConnectionPool):
    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; all of them means those to the Sentinels, too."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


class _Connection(SentinelManagedConnection):
    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)
        except ResponseError as error:
            if not demoted(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError("the previous master is now a replica") from error


class _Pool(SentinelConnectionPool):
    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; all of them means those to the Sentinels, too."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            for one in self.sentinel_manager.sentinels:
                one.connection_pool.disconnect()


def asyncio_pool(
    sentinels: Sequence[Address], service: str, bound: type[AsyncConnection], options: Mapping[str, Any]
) -> AsyncConnectionPool:
    """Return a pool for an asyncio client. `bound` is the connection class that chooses the source address.

    `options` go to every connection, those to the Sentinels included.
    """
    asking = asyncio_sentinel.Sentinel([])  # type: ignore[no-untyped-call]
    asking.sentinels = [
        redis.asyncio.Redis.from_pool(AsyncConnectionPool(connection_class=bound, host=host, port=port, **options))
        for host, port in sentinels
    ]
    managed = type("BoundSentinelConnection", (bound, _AsyncConnection), {})
    return _AsyncPool(service, asking, connection_class=managed, **options)  # type: ignore[no-untyped-call]


def blocking_pool(
    sentinels: Sequence[Address], service: str, options: Mapping[str, Any]
) -> SentinelConnectionPool:
    """Return a pool for a blocking client. `options` go to every connection, those to the Sentinels included."""
    asking = Sentinel([])  # type: ignore[no-untyped-call]
    asking.sentinels = [redis.Redis(host=host, port=port, **options) for host, port in sentinels]
    return _Pool(service, asking, connection_class=_Connection, **options)  # type: ignore[no-untyped-call]
