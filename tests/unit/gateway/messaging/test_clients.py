"""`gateway.messaging.clients`: who is meant by which name."""

from flux_gateway.gateway.messaging.client import Client, Stage
from flux_gateway.gateway.messaging.clients import Clients
from tests.unit.gateway.messaging.somebody import somebody


def found(clients: Clients, *, client: str = "", session: str = "", user: str = "") -> list[Client]:
    return clients.named(client=client, session=session, user=user)


def test_by_each_name_and_the_most_particular_first() -> None:
    clients = Clients()
    one, two, bob = somebody("c1", "s1", "ann"), somebody("c2", "s2", "ann"), somebody("c3", "s3", "bob")
    for client in (one, two, bob):
        clients.add(client)
    assert (len(clients), list(clients)) == (3, [one, two, bob])
    assert found(clients, user="ann") == [one, two]
    assert found(clients, client="c2", user="ann") == [two]
    assert found(clients, session="s1", user="ann") == [one]
    assert found(clients, client="c3", session="s1") == [bob]
    assert found(clients, user="nobody") == found(clients, client="c9") == found(clients, session="s9") == []
    assert found(clients) == []


def test_who_has_not_connected_has_no_name_yet() -> None:
    clients, one = Clients(), somebody("", "s1", "", present=False)
    clients.add(one)
    assert found(clients, session="s1") == []
    one.id, one.user, one.stage = "c1", "ann", Stage.CONNECTED
    clients.know(one)
    clients.know(one)
    assert found(clients, session="s1") == found(clients, client="c1") == found(clients, user="ann") == [one]


def test_who_is_nobody_in_particular_is_found_by_id_only() -> None:
    clients, one, two = Clients(), somebody("c1", "s1", ""), somebody("c2", "s2", "")
    clients.add(one)
    clients.add(two)
    assert found(clients, client="c1") == [one]
    assert found(clients) == []


def test_nothing_is_left_of_those_that_are_gone() -> None:
    clients = Clients()
    several = [somebody(f"c{number}", f"s{number}", "ann") for number in range(3)]
    copy = somebody("c0", "s0", "ann")  # of the same session: the newer one comes before the older one has left
    for client in (*several, copy):
        clients.add(client)
    assert found(clients, session="s0") == [several[0], copy]
    clients.discard(several[0])
    clients.discard(several[0])
    assert found(clients, session="s0") == found(clients, client="c0") == [copy]
    assert found(clients, user="ann") == [*several[1:], copy]
    clients.discard(somebody("c1", "s1", "ann"))  # one that only has the same names
    assert found(clients, client="c1") == [several[1]]
    for client in (*several, copy):
        clients.discard(client)
    assert (len(clients), clients._by_id, clients._by_session, clients._by_user) == (0, {}, {}, {})
