"""`dashboard.view`, `dashboard.messages` and `dashboard.history`: pure."""

import msgspec

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.dashboard import messages
from flux_gateway.dashboard.history import EventLog, Histories
from flux_gateway.dashboard.view import ClusterView, build, same, taking_weights


def node(node_id: str, state: NodeState = NodeState.UP, **changes: object) -> NodeRecord:
    record = NodeRecord(id=node_id, host="10.0.0.1", port=7000, admin_port=7100, state=state)
    return msgspec.structs.replace(record, **changes)


def proxy(proxy_id: str, links: dict[str, str], state: NodeState = NodeState.UP) -> ProxyRecord:
    return ProxyRecord(
        id=proxy_id, host="10.0.0.2", port=8080, admin_host="10.0.0.2", admin_port=8081, state=state, links=links
    )


def snapshot(*members: NodeRecord | ProxyRecord, silent: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(
        nodes={member.id: member for member in members if isinstance(member, NodeRecord)},
        proxies={member.id: member for member in members if isinstance(member, ProxyRecord)},
        heartbeat_age={member.id: 1.5 for member in members if member.id not in silent},
    )


def view_of(seen: Snapshot, as_of: float = 100.0) -> ClusterView:
    return build(seen, shares={"a": 1.0}, events=(), as_of=as_of)


def test_a_node_without_a_heartbeat_is_dead_unless_it_stopped() -> None:
    seen = snapshot(node("a"), node("b", NodeState.DRAINING), node("c", NodeState.STOPPED), silent=("b", "c"))
    states = {entry.id: entry.state for entry in view_of(seen).nodes.values()}
    assert states == {"a": NodeState.UP, "b": NodeState.DEAD, "c": NodeState.STOPPED}


def test_a_node_is_suspected_by_living_proxies_only() -> None:
    seen = snapshot(
        node("a"),
        node("b"),
        node("gone", NodeState.DEAD),
        proxy("p1", {"a": "up", "b": "suspect", "gone": "down"}),
        proxy("p2", {"a": "down"}, NodeState.STOPPED),
        proxy("p3", {"b": "down"}),
        silent=("gone",),
    )
    found = {entry.id: entry.suspected_by for entry in view_of(seen).nodes.values()}
    assert found == {"a": (), "b": ("p1", "p3"), "gone": ()}


def test_slots_are_counted_for_nodes_that_take_sessions() -> None:
    seen = snapshot(
        node("a", weight=2.0), node("b", NodeState.DRAINING), node("c"), node("d", weight=0.0), silent=("c",)
    )
    assert taking_weights(seen) == {"a": 2.0}


def test_passing_time_alone_is_no_change() -> None:
    seen = snapshot(node("a"))
    later = Snapshot(seen.nodes, seen.proxies, {"a": 3.0})
    assert same(view_of(seen, 100.0), view_of(later, 101.0))
    assert not same(view_of(seen), view_of(snapshot(node("a", connections=1))))


def test_an_update_has_only_what_differs() -> None:
    before = view_of(snapshot(node("a"), node("b"), node("c")))
    after = view_of(snapshot(node("a"), node("b", connections=3), node("d"), silent=("d",)))
    update = messages.update(before, after, now=102.0)
    assert [(entry["id"], entry["heartbeat_age"]) for entry in update["nodes"]] == [("b", 3.5), ("d", None)]
    assert update["gone"] == ["c"]
    assert update["proxies"] == []
    assert update["age"] == 2.0
    assert update["stale"] is False


def test_events_keep_their_number_and_arrive_once() -> None:
    def event(at: float) -> Event:
        return Event(at=at, kind=EventKind.JOINED, subject="a", by="a")

    log = EventLog(length=3)
    log.merge([event(2), event(1)])
    first = build(Snapshot(), shares=None, events=log.events, as_of=1)
    log.merge([event(3), event(2), event(1)])
    log.merge([event(4), event(3), event(2), event(1)])
    second = build(Snapshot(), shares=None, events=log.events, as_of=2)
    assert [(entry.number, entry.event.at) for entry in log.events] == [(2, 2), (3, 3), (4, 4)]
    assert [entry["at"] for entry in messages.update(first, second, 3)["events"]] == [4, 3]


def test_history_drops_doubles_and_what_is_too_old() -> None:
    histories = Histories()
    histories.fill("a", [node("a", heartbeat_at=at) for at in (100.0, 600.0)])
    histories.append(node("a", heartbeat_at=600.0))
    histories.append(node("a", heartbeat_at=605.0, connections=7))
    histories.trim(1001.0, keep=["a"])
    assert histories.columns("a")["at"] == [600.0, 605.0]
    assert histories.columns("a")["connections"] == [0, 7]


def test_history_survives_a_registry_that_came_back_empty() -> None:
    histories = Histories()
    histories.append(node("a", heartbeat_at=1000.0))
    histories.trim(1010.0, keep=[])
    assert histories.columns("a")["at"] == [1000.0]
    histories.trim(1901.0, keep=[])
    assert not histories.knows("a")


def test_a_clock_that_was_set_back_starts_over() -> None:
    histories = Histories()
    for at in (1000.0, 1005.0, 1003.0):
        histories.append(node("a", heartbeat_at=at))
    assert histories.columns("a")["at"] == [1000.0, 1003.0]
