"""Routing under faked links: what a node said, not who said it, decides."""

from collections import Counter

from flux_gateway.core.balance import Bounds
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.link import Status
from flux_gateway.core.liveness import LinkPolicy
from flux_gateway.core.membership import NodeRecord, Snapshot
from flux_gateway.core.slots import slot_of
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.router import Router

NAMES = ("gateway-1", "gateway-2", "gateway-3")


def record(name: str, state: NodeState = NodeState.UP) -> NodeRecord:
    """A node's record as the registry holds it."""
    return NodeRecord(id=name, host="127.0.0.1", port=7000, admin_port=7100, state=state)


def snapshot(*names: str) -> Snapshot:
    """A registry that knows these nodes, all UP."""
    return Snapshot({name: record(name) for name in names})


def router(floor: int = 1) -> Router:
    """Three nodes whose links are up and empty."""
    made = Router(Bounds(floor=floor), LinkPolicy())
    made.update(snapshot(*NAMES))
    for node in made.nodes.values():
        link_up(node)
    return made


def link_up(node: Node, connections: int = 0, state: NodeState = NodeState.UP) -> None:
    """The node's link is open, and this is what the node says over it."""
    node.health.connected(0.0)
    node.health.heard(0.0)
    node.told(Status(0, state, connections))


def first(made: Router, key: str) -> str:
    """The node a new client with this key is sent to."""
    return next(made.targets(slot_of(key.encode()))).id


def test_the_same_key_goes_to_the_same_node() -> None:
    made = router(floor=1000)
    assert {first(made, "alice") for _ in range(100)} == {first(made, "alice")}


def test_a_node_above_its_bound_takes_no_new_keys_and_loses_none_of_the_others() -> None:
    made = router()
    before = {key: first(made, key) for key in map(str, range(300))}
    link_up(made.nodes["gateway-1"], connections=1000)
    for node_id in ("gateway-2", "gateway-3"):
        link_up(made.nodes[node_id], connections=500)
    after = {key: first(made, key) for key in before}
    assert "gateway-1" not in after.values()
    assert all(after[key] == node for key, node in before.items() if node != "gateway-1")


def test_placing_many_clients_keeps_every_node_within_the_bound() -> None:
    made = router()
    placed: Counter[str] = Counter()
    for number in range(900):
        node = next(made.targets(slot_of(f"client-{number}".encode())))
        node.opening += 1  # what the switchboard counts
        placed[node.id] += 1
    assert sum(placed.values()) == 900
    assert max(placed.values()) <= 1.25 * 300 + 1


def test_a_draining_node_is_passed_over_at_its_word() -> None:
    made = router()
    link_up(made.nodes["gateway-2"], state=NodeState.DRAINING)
    assert "gateway-2" not in {first(made, str(number)) for number in range(100)}


def test_a_silent_node_is_passed_over_and_comes_back_after_two_answers() -> None:
    made = router(floor=1000)
    key = next(str(number) for number in range(100) if first(made, str(number)) == "gateway-3")
    health = made.nodes["gateway-3"].health
    health.tick(2.9)
    assert first(made, key) != "gateway-3"
    health.heard(4.0)
    assert first(made, key) != "gateway-3"
    health.heard(5.0)
    assert first(made, key) == "gateway-3"


def test_with_no_usable_node_all_are_tried() -> None:
    made = router()
    for node in made.nodes.values():
        node.health.closed(1.0)
    assert {node.id for node in made.targets(slot_of(b"alice"))} == set(NAMES)


def test_a_registry_that_comes_back_empty_takes_no_linked_node_away() -> None:
    made = router(floor=1000)
    before = {str(number): first(made, str(number)) for number in range(50)}
    joined, left = made.update(Snapshot())
    assert (joined, left) == ([], [])
    assert {key: first(made, key) for key in before} == before


def test_a_forgotten_node_without_a_link_leaves() -> None:
    made = router()
    made.nodes["gateway-1"].health.closed(1.0)
    joined, left = made.update(snapshot("gateway-2", "gateway-3", "gateway-4"))
    assert [node.id for node in joined] == ["gateway-4"]
    assert [node.id for node in left] == ["gateway-1"]


def test_load_counts_what_happened_since_the_node_spoke() -> None:
    node = router().nodes["gateway-1"]
    link_up(node, connections=10)
    node.opening += 3
    assert node.load == 13
    node.opening -= 2
    assert node.load == 11
