"""Clients that have left: out of presence, out of the records, and the others are told. One worker for all of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from flux_gateway.broker.broker import Broker
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client

_AT_ONCE = 1000
"""Commands under way together: who talks meanwhile shall not wait behind all of them."""

Start = Callable[[Coroutine[Any, Any, None], str], object]


class Departures:
    """Removes what Redis knows of clients that are gone. While it is away nothing is removed: all of it expires."""

    def __init__(self, broker: Broker, start: Start) -> None:
        self._broker, self._start = broker, start
        self._gone: deque[tuple[Client, int, list[Subscription]]] = deque()
        self._working = False

    def add(self, client: Client, fence: int, left: list[Subscription]) -> None:
        """This client is gone from these channels; `fence` is the number of its session's last attach."""
        self._gone.append((client, fence, left))
        self._begin()

    def leave(self, client: Client, left: list[Subscription]) -> None:
        """This client is still there, but not in these channels."""
        self._gone.append((client, -1, left))
        self._begin()

    def _begin(self) -> None:
        if not self._working:
            self._working = True
            self._start(self._work(), "departures")

    async def _work(self) -> None:
        try:
            while self._gone:
                part, weight = [], 0
                while self._gone and weight < _AT_ONCE:
                    part.append(self._gone.popleft())
                    weight += 2 + 2 * len(part[-1][2])
                await asyncio.gather(*(self._remove(*one) for one in part))
        finally:
            self._working = False

    async def _remove(self, client: Client, fence: int, left: list[Subscription]) -> None:
        with suppress(BrokerUnavailable):
            if fence >= 0 and not await self._broker.drop_record(client.session_id, fence):
                return  # only this copy of the session has ended: the client is elsewhere meanwhile
            await asyncio.gather(
                *(depart(self._broker, client, one) for one in left),
                *([self._broker.release_connection(client.user, client.id)] if fence >= 0 and client.user else []),
            )


async def depart(broker: Broker, client: Client, subscription: Subscription) -> None:
    """Take the client out of a channel's presence, and tell who is there. Raises `BrokerUnavailable`."""
    if subscription.presence:
        await broker.remove_presence(subscription.channel, client.id)
    if subscription.announced:
        await broker.leave(subscription.channel, client.client_info(subscription))
