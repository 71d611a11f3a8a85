"""What ends at a time of its own: connections and subscriptions whose rights expire."""

from heapq import heapify, heappop, heappush
from itertools import count

from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.subscription import Subscription

_SPARE = 1000
"""Entries that are no longer true, below which the heap is not tidied."""


class Expiries:
    """A heap of (unix seconds, client, channel or "" for the connection). What was refreshed since is passed over."""

    def __init__(self, grace: float) -> None:
        """`grace` in seconds."""
        self._grace = grace
        self._heap: list[tuple[float, int, Client, str]] = []
        self._number = count()
        self._tidy_at = _SPARE

    def watch(self, what: Client | Subscription) -> None:
        """Have it returned by `due` when its time has come, unless it never expires.

        Who brings a new token has the grace to do so; a back end is asked at the very time.
        """
        if what.expire_at:
            at = what.expire_at + (self._grace if what.refreshable else 0.0)
            self._add(at, *((what, "") if isinstance(what, Client) else (what.client, what.channel)))

    def over(self, what: Client | Subscription, now: float) -> bool:
        """Tell whether its time is really over at unix time `now`, or whether it was refreshed."""
        return 0 < what.expire_at + (self._grace if what.refreshable else 0.0) <= now and what.expire_at > 0

    def _add(self, at: float, client: Client, channel: str) -> None:
        heappush(self._heap, (at, next(self._number), client, channel))
        if len(self._heap) > self._tidy_at:
            self._heap = [entry for entry in self._heap if entry[2].present]
            heapify(self._heap)
            self._tidy_at = 2 * len(self._heap) + _SPARE

    def due(self, now: float) -> list[tuple[Client, str]]:
        """Take out and return what has ended by unix time `now`; it may have been refreshed meanwhile."""
        ended = []
        while self._heap and self._heap[0][0] <= now:
            _, _, client, channel = heappop(self._heap)
            if client.present:
                ended.append((client, channel))
        return ended
