"""What ends at a time of its own: connections and subscriptions whose rights expire."""

from heapq import heapify, heappop, heappush
from itertools import count

from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client

_SPARE = 1000
"""Entries that were overtaken, below which the heap is not tidied."""


class Expiries:
    """A heap of (unix seconds, client, channel or "" for the connection); what was overtaken is passed over."""

    def __init__(self, grace: float) -> None:
        """`grace` in seconds."""
        self._grace = grace
        self._heap: list[tuple[float, int, Client, str]] = []
        self._valid: dict[tuple[Client, str], float] = {}
        """The one time that counts for a client and channel."""
        self._number = count()

    def __len__(self) -> int:
        """Return how many entries there are, also those that were overtaken."""
        return len(self._heap)

    def watch(self, what: Client | Subscription) -> None:
        """Have it returned by `due` when its time has come, unless it never expires.

        Who brings a new token has the grace to do so; a back end is asked at the very time.
        """
        client, channel = (what, "") if isinstance(what, Client) else (what.client, what.channel)
        if not what.expire_at:
            self._valid.pop((client, channel), None)
            return
        at = self._at(what)
        if self._valid.get((client, channel)) == at:
            return
        self._valid[client, channel] = at
        heappush(self._heap, (at, next(self._number), client, channel))
        if len(self._heap) > 2 * len(self._valid) + _SPARE:
            self._tidy()

    def _tidy(self) -> None:
        self._valid = {key: at for key, at in self._valid.items() if key[0].present}
        self._heap = [entry for entry in self._heap if self._valid.get(entry[2:]) == entry[0]]
        heapify(self._heap)

    def _at(self, what: Client | Subscription) -> float:
        return what.expire_at + (self._grace if what.refreshable else 0.0)

    def over(self, what: Client | Subscription, now: float) -> bool:
        """Tell whether its time is really over at unix time `now`, or whether it was refreshed."""
        return what.expire_at > 0 and self._at(what) <= now

    def due(self, now: float) -> list[tuple[Client, str]]:
        """Take out and return what has ended by unix time `now`; it may have been refreshed meanwhile."""
        ended = []
        while self._heap and self._heap[0][0] <= now:
            at, _, client, channel = heappop(self._heap)
            if self._valid.get((client, channel)) != at:
                continue
            del self._valid[client, channel]
            if client.present:
                ended.append((client, channel))
        return ended
