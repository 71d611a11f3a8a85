"""Orders of the last seconds: a session may have been on its way between two nodes when one was given.

Both nodes had the order, and neither had the client. So the node where it arrives looks here.
"""

from collections import deque

from flux_gateway.gateway.messaging.orders import Order

_KEPT = 10.0
"""Seconds. A session whose node is gone takes longest."""


class RecentOrders:
    """Orders by the user they name; those that name none are under the empty one."""

    def __init__(self) -> None:
        self._given: deque[tuple[float, Order]] = deque()
        self._by_user: dict[str, deque[Order]] = {}

    def add(self, order: Order, now: float) -> None:
        """An order was given at `now`, monotonic seconds."""
        self._forget(now)
        self._given.append((now, order))
        self._by_user.setdefault(order.user, deque()).append(order)

    def of(self, user: str, now: float) -> list[Order]:
        """Return the orders that may concern clients of this user, in their order."""
        self._forget(now)
        if not user or "" not in self._by_user:
            return list(self._by_user.get(user, ()))
        return [order for _, order in self._given if order.user in ("", user)]

    def _forget(self, now: float) -> None:
        while self._given and self._given[0][0] < now - _KEPT:
            _, order = self._given.popleft()
            same = self._by_user[order.user]
            same.popleft()
            if not same:
                del self._by_user[order.user]
