"""Orders of the last seconds: a session may have been on its way between two nodes when one was given.

Both nodes had the order, and neither had the client. So the node where it arrives looks here. What the node before had
seen of the client's orders goes with the client: only the others are still to be carried out.
"""

from collections import deque
from typing import NamedTuple

from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.orders.orders import DisconnectOrder, Order

_GIVEN = 10.0
"""Seconds for which an order may still be carried out. A session whose node is gone takes longest."""

_KNOWN = 2 * _GIVEN
"""Seconds for which it is known: longer, as the node where a client arrives may have heard it a little later."""

_MOST = 1000
"""Orders that a client takes along: more would hinder it."""


class _Given(NamedTuple):
    number: int
    at: float
    order: Order


def concerns(order: Order, client: Client) -> bool:
    """Whether an order is for this client."""
    return (
        (not order.user or order.user == client.user)
        and (not order.client or order.client == client.id)
        and (not order.session or order.session == client.session_id)
        and not (isinstance(order, DisconnectOrder) and client.id in order.whitelist)
    )


class RecentOrders:
    """Orders by the most particular name in them. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._number = 0
        self._given: deque[_Given] = deque()
        self._by_name: dict[tuple[str, str], deque[_Given]] = {}

    def add(self, order: Order, now: float) -> None:
        """An order was given at `now`."""
        self._forget(now)
        self._number += 1
        given = _Given(self._number, now, order)
        self._given.append(given)
        self._by_name.setdefault(_name(order), deque()).append(given)

    def of(self, client: Client, now: float) -> list[Order]:
        """Return the orders for a client that may still be carried out, in their order."""
        return [given.order for given in self._of(client, now) if given.at >= now - _GIVEN]

    def known(self, client: Client, now: float) -> list[str]:
        """Return the ids of the orders for a client that this node knows of."""
        return [given.order.id for given in self._of(client, now)[-_MOST:]]

    def _of(self, client: Client, now: float) -> list[_Given]:
        self._forget(now)
        if not self._given:
            return []
        names = (("client", client.id), ("session", client.session_id), ("user", client.user))
        return sorted(
            given for name in names if name[1] for given in self._by_name.get(name, ())
            if concerns(given.order, client)
        )  # fmt: skip

    def _forget(self, now: float) -> None:
        while self._given and self._given[0].at < now - _KNOWN:
            name = _name(self._given.popleft().order)
            same = self._by_name[name]
            same.popleft()
            if not same:
                del self._by_name[name]


def _name(order: Order) -> tuple[str, str]:
    if order.client:
        return "client", order.client
    return ("session", order.session) if order.session else ("user", order.user)
