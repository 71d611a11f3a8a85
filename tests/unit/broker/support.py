"""Shared by the broker's tests: brokers that are closed at the end, what they hear, a loop that tolerates no mishap."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from flux_gateway.broker.broker import Broker
from flux_gateway.broker.events import Event
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import Publication
from flux_gateway.registry.connect import connect
from tests.unit.registry.server import RedisServer

KEPT: dict[str, Any] = {"size": 100, "ttl": 60.0, "meta_ttl": 600.0}
"""How the tests keep publications, where it does not matter."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on the loop that the daemons use. Whatever goes wrong in a callback or an unawaited task fails the test."""
    mishaps: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
        await main

    uvloop.run(watched())
    assert mishaps == []


@asynccontextmanager
async def broker(server: RedisServer, node_id: str = "gateway-1", patience: float = 1.0) -> AsyncIterator[Broker]:
    """A broker that has been started."""
    made = Broker(connect(server.settings()), timeout=patience, node_id=node_id)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


class Heard:
    """What a broker hears."""

    def __init__(self, broker: Broker) -> None:
        self.events: list[tuple[str, Event]] = []
        self.changes: list[str] = []
        broker.on_event = lambda channel, event: self.events.append((channel, event))
        broker.on_lost = lambda: self.changes.append("lost")
        broker.on_back = lambda: self.changes.append("back")

    def data(self, channel: str) -> list[bytes]:
        """Return the data of the publications of a channel."""
        bodies = [event.body for name, event in self.events if name == channel]
        return [body.data for body in bodies if isinstance(body, Publication)]

    def offsets(self, channel: str) -> list[int]:
        return [event.offset for name, event in self.events if name == channel]


async def publish(broker: Broker, channel: str, data: str, **options: Any) -> Position:
    return await broker.publish(channel, Publication(data.encode()), **(KEPT | options))


async def stored(broker: Broker, channel: str) -> list[bytes]:
    """Return the data of all that the channel's stream holds."""
    read = await broker.history(channel, since=None, limit=-1, meta_ttl=600)
    return [one.data for one in read.publications]
