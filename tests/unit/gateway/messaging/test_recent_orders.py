"""`gateway.messaging.recent_orders`: what is remembered, in which order, and for how long."""

from flux_gateway.gateway.messaging.orders import DisconnectOrder, Order, UnsubscribeOrder
from flux_gateway.gateway.messaging.recent_orders import RecentOrders

ANN = DisconnectOrder(node="a", user="ann")
ANN_LATER = UnsubscribeOrder(node="a", user="ann", channel="x")
BOB = DisconnectOrder(node="a", user="bob")
ANY_USER = DisconnectOrder(node="a", client="c")


def test_those_of_a_user_and_those_of_any_user_in_their_order() -> None:
    recent = RecentOrders()
    given: list[Order] = [ANN, BOB, ANY_USER, ANN_LATER]
    for moment, order in enumerate(given):
        recent.add(order, float(moment))
    assert recent.of("ann", 4) == [ANN, ANY_USER, ANN_LATER]
    assert recent.of("bob", 4) == [BOB, ANY_USER]
    assert recent.of("", 4) == [ANY_USER]
    assert recent.of("nobody", 4) == [ANY_USER]


def test_after_ten_seconds_they_are_forgotten() -> None:
    recent = RecentOrders()
    recent.add(ANN, 0.0)
    recent.add(ANN_LATER, 5.0)
    assert recent.of("ann", 10.0) == [ANN, ANN_LATER]
    assert recent.of("ann", 10.1) == [ANN_LATER]
    assert recent.of("ann", 15.1) == []
    recent.add(BOB, 16.0)
    assert recent.of("ann", 16.0) == []
    assert recent.of("bob", 16.0) == [BOB]
