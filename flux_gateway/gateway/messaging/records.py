"""Session records: what Redis knows of each client, so that another node can go on when this one is gone.

A record that lists a subscription too many does no harm, one that lacks one would silence a client. So it is written
before a subscription is answered, and after an unsubscription.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from flux_gateway.broker.broker import Broker
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.messaging import state

_AT_ONCE = 500
"""Records written in one go."""


class Records:
    """Writes the records of this node's clients."""

    def __init__(self, broker: Broker, ttl: float, start: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
        """`ttl` in seconds; `start` runs a coroutine in a task that is owned."""
        self._broker, self._ttl, self._start = broker, ttl, start
        self._stale: dict[Client, None] = {}
        """Clients whose record could not be written."""
        self._writing = False

    async def save(self, client: Client) -> None:
        """Write the client's record, unless its stream cannot go to another node. Raises `BrokerUnavailable`."""
        if client.secret:
            return
        self._stale.pop(client, None)
        data = state.encode(client.state(positions=False))
        await self._broker.save_record(client.session_id, client.connection.session.fence, data, self._ttl)

    def later(self, client: Client) -> None:
        """Have the record written soon, or as soon as Redis answers."""
        self._stale[client] = None
        self.on_back()

    def forget(self, client: Client) -> None:
        """The client is not here any more."""
        self._stale.pop(client, None)

    async def _write(self) -> None:
        try:
            while self._stale and self._broker.available:
                part = [*self._stale][:_AT_ONCE]
                for client in part:
                    del self._stale[client]
                saving = [client for client in part if client.present]
                outcomes = await asyncio.gather(*map(self.save, saving), return_exceptions=True)
                for client, outcome in zip(saving, outcomes, strict=True):
                    if isinstance(outcome, BrokerUnavailable):
                        self._stale[client] = None
                    elif outcome is not None:
                        raise outcome
        finally:
            self._writing = False

    def on_back(self) -> None:
        """Write what could not be written, if Redis answers."""
        if self._stale and not self._writing and self._broker.available:
            self._writing = True
            self._start(self._write(), "session records")
