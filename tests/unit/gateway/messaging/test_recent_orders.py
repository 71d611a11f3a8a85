"""`gateway.messaging.recent_orders`: what is remembered, in which order, and for how long."""

import pytest

from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.orders import recent_orders
from flux_gateway.gateway.messaging.orders.orders import DisconnectOrder, Order, UnsubscribeOrder
from flux_gateway.gateway.messaging.orders.recent_orders import RecentOrders, concerns
from tests.unit.gateway.messaging.somebody import somebody

ANN = DisconnectOrder(node="a", user="ann")
ANN_LATER = UnsubscribeOrder(node="a", user="ann", channel="x")
ANN_HERE = UnsubscribeOrder(node="a", user="ann", client="c1", channel="x")
BOB = DisconnectOrder(node="a", user="bob", whitelist=("c3",))
SESSION = DisconnectOrder(node="a", session="s1")
CLIENT = DisconnectOrder(node="a", client="c1")
ALL: list[Order] = [ANN, BOB, CLIENT, SESSION, ANN_HERE, ANN_LATER]


@pytest.mark.parametrize(
    ("client", "orders"),
    [
        (somebody("c1", "s1", "ann"), [ANN, CLIENT, SESSION, ANN_HERE, ANN_LATER]),
        (somebody("c2", "s2", "ann"), [ANN, ANN_LATER]),
        (somebody("c1", "s2", "bob"), [BOB, CLIENT]),
        (somebody("c3", "s3", "bob"), []),
        (somebody("c3", "s1", ""), [SESSION]),
        (somebody("", "s3", ""), []),
    ],
)
def test_those_that_concern_a_client_in_their_order(client: Client, orders: list[Order]) -> None:
    recent = RecentOrders()
    for moment, order in enumerate(ALL):
        recent.add(order, float(moment))
    assert recent.of(client, 6) == orders
    assert recent.known(client, 6) == [order.id for order in orders]


def test_they_are_known_for_longer_than_they_are_carried_out() -> None:
    recent, ann, bob = RecentOrders(), somebody("c", "s", "ann"), somebody("c", "s", "bob")
    recent.add(ANN, 0.0)
    recent.add(ANN_LATER, 5.0)
    assert recent.of(ann, 10.0) == [ANN, ANN_LATER]
    assert recent.of(ann, 10.1) == [ANN_LATER]
    assert recent.of(ann, 15.1) == []
    assert recent.known(ann, 20.0) == [ANN.id, ANN_LATER.id]
    assert recent.known(ann, 20.1) == [ANN_LATER.id]
    recent.add(BOB, 26.0)
    assert recent.known(ann, 26.0) == []
    assert recent.of(bob, 26.0) == [BOB]


def test_a_client_takes_along_no_more_than_it_can_carry() -> None:
    recent, ann = RecentOrders(), somebody("c", "s", "ann")
    for _ in range(3000):
        recent.add(last := DisconnectOrder(node="a", user="ann"), 0.0)
    known = recent.known(ann, 0.0)
    assert (len(known), known[-1]) == (1000, last.id)


def test_a_client_is_not_compared_with_the_orders_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, compared = RecentOrders(), 0
    for number in range(1000):
        recent.add(DisconnectOrder(node="a", user=f"user-{number}"), 0.0)
        recent.add(DisconnectOrder(node="a", client=f"client-{number}"), 0.0)
    recent.add(ANN, 0.0)

    def counted(order: Order, client: Client) -> bool:
        nonlocal compared
        compared += 1
        return concerns(order, client)

    monkeypatch.setattr(recent_orders, "concerns", counted)
    assert recent.of(somebody("c", "s", "ann"), 0.0) == [ANN]
    assert compared == 1
