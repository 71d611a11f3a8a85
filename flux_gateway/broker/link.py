"""One open connection to Redis, without a task of its own: bytes in, replies out, as fast as they come.

redis-py connects: it knows of passwords, Sentinels and the local address. From then on its streams, made for one
question and one answer at a time, stand aside: the transport is given to this protocol.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import RedisError

from flux_gateway.core.errors import BrokerUnavailable

_UNFINISHED = object()
"""Stands for a reply that has not come whole."""


class Link(asyncio.Protocol):
    """Hands over what came in one go, and writes what was sent in one turn of the loop at its end."""

    def __init__(
        self, connection: Any, transport: asyncio.Transport, receive: Callable[[list[Any]], None]
    ) -> None:
        self._connection = connection
        """Holds the transport: it would be closed with it."""
        self._transport = transport
        self._receive = receive
        self._reader = hiredis.Reader(notEnoughData=_UNFINISHED)
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self.heard_at = self._loop.time()
        """When the last byte came."""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Done when the connection is over; tells why."""

    @classmethod
    async def open(cls, client: "redis.asyncio.Redis", receive: Callable[[list[Any]], None]) -> "Link":
        """Connect as the client would. `receive` is called with replies. Raises `BrokerUnavailable`."""
        connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"Redis does not answer: {str(error) or type(error).__name__}") from error
        except asyncio.CancelledError:
            await connection.disconnect(nowait=True)
            raise
        transport = connection._writer.transport
        link = cls(connection, transport, receive)
        transport.set_protocol(link)
        return link

    def write(self, data: bytes) -> None:
        """Send at the end of this turn of the loop, together with what else is sent in it."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.lost.done():
            self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """Hand over the replies that are whole now."""
        self.heard_at = self._loop.time()
        gets = self._reader.gets
        replies = []
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _UNFINISHED:
                replies.append(reply)
        except hiredis.ProtocolError as error:
            self.end(f"not Redis: {error}")
            return
        if replies:
            self._receive(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer or the network ended it."""
        self.end(str(exc) if exc else "closed by Redis")

    def end(self, why: str) -> None:
        """End the connection now. What is not sent yet is thrown away."""
        if not self.lost.done():
            self.lost.set_result(why)
            self._transport.abort()

    async def close(self) -> None:
        """End the connection and let go of it."""
        self.end("closed")
        await self._connection.disconnect(nowait=True)
