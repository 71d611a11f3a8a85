"""Pings: every connection has a place on a wheel, so that thousands of them need one timer, not one each."""

import random
from math import ceil

from flux_gateway.gateway.connection import Connection


class Keepalive:
    """A wheel that turns once per ping interval. Each step pings one bucket and judges the one that was due."""

    STEPS = 25

    def __init__(self, interval: float, timeout: float) -> None:
        self.step_seconds = interval / self.STEPS
        self._wait = min(self.STEPS - 1, ceil(timeout / self.step_seconds))
        # A dict keeps the order and, unlike a set, is walked safely over a copy of its keys.
        self._buckets: list[dict[Connection, None]] = [{} for _ in range(self.STEPS)]
        self._step = 0
        self.turned_at = 0.0
        """When the wheel was turned last, monotonic seconds."""

    def add(self, connection: Connection) -> None:
        """Give the connection a random place: connections that came together do not ping together."""
        self._place(connection, random.randrange(self.STEPS))  # noqa: S311 - spreads load, keeps no secret

    def add_due(self, connection: Connection, seconds: float) -> None:
        """Let the next ping be in `seconds`, at most an interval, by the wheel's own steps."""
        steps = min(self.STEPS, max(1, ceil(seconds / self.step_seconds)))
        self._place(connection, (self._step + steps) % self.STEPS)

    def due(self, connection: Connection) -> float:
        """Return the seconds to the connection's next ping."""
        return ((connection.bucket - self._step - 1) % self.STEPS + 1) * self.step_seconds

    def _place(self, connection: Connection, bucket: int) -> None:
        connection.bucket = bucket
        self._buckets[bucket][connection] = None

    def discard(self, connection: Connection) -> None:
        """Take the connection off the wheel."""
        self._buckets[connection.bucket].pop(connection, None)

    def turn(self) -> list[Connection]:
        """Advance one step: ping one bucket; return the connections that owe a pong for longer than the timeout."""
        self._step += 1
        late = self._buckets[(self._step - self._wait) % self.STEPS]
        overdue = [connection for connection in late if connection.session.awaiting_pong]
        for connection in list(self._buckets[self._step % self.STEPS]):
            connection.send(connection.session.ping())
        return overdue
