"""`core.slots`: which node a key lands on, and what does and does not move when the membership changes."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.slots import SLOTS, Slots, slot_of
from tests.unit.core.support import FEW, SOME


def nodes(count: int) -> dict[str, float]:
    return {f"gateway-{number}": 1.0 for number in range(1, count + 1)}


def owners(slots: Slots) -> list[str]:
    return [slots.ranking(slot)[0] for slot in range(SLOTS)]


@pytest.fixture(scope="module")
def ten() -> Slots:
    return Slots(nodes(10))


def test_a_lost_node_gives_up_its_own_keys_and_nobody_else_s_move(ten: Slots) -> None:
    before = [ten.ranking(slot) for slot in range(SLOTS)]
    without = nodes(10)
    del without["gateway-4"]
    smaller = Slots(without)
    for slot in range(SLOTS):
        assert smaller.ranking(slot) == tuple(node for node in before[slot] if node != "gateway-4")


def test_the_keys_of_a_lost_node_spread_evenly_over_the_others(ten: Slots) -> None:
    orphans = [ten.ranking(slot)[1] for slot in range(SLOTS) if ten.ranking(slot)[0] == "gateway-4"]
    heirs = {node: orphans.count(node) for node in nodes(10) if node != "gateway-4"}
    mean = len(orphans) / 9
    assert all(0.85 * mean < count < 1.15 * mean for count in heirs.values()), heirs


def test_a_returning_node_gets_exactly_its_own_keys_back() -> None:
    slots = Slots(nodes(6))
    before = owners(slots)
    without = nodes(6)
    del without["gateway-2"]
    slots.assign(without)
    assert "gateway-2" not in set(owners(slots))
    slots.assign(nodes(6))
    assert owners(slots) == before


def test_a_join_takes_only_what_the_new_node_wins() -> None:
    slots = Slots(nodes(5))
    before = owners(slots)
    slots.assign(nodes(6))
    after = owners(slots)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {"gateway-6"}
    assert len(moved) == pytest.approx(SLOTS / 6, rel=0.05)


def test_a_changed_weight_moves_keys_only_to_or_from_that_node() -> None:
    slots = Slots(nodes(5))
    before = owners(slots)
    slots.assign(nodes(5) | {"gateway-3": 2.0})
    gained = {new for old, new in zip(before, owners(slots), strict=True) if old != new}
    assert gained == {"gateway-3"}
    slots.assign(nodes(5) | {"gateway-3": 0.5})
    lost = {old for old, new in zip(before, owners(slots), strict=True) if old != new}
    assert lost == {"gateway-3"}


@pytest.mark.parametrize(("count", "tolerance"), [(3, 0.02), (10, 0.05), (100, 0.20)])
def test_equal_nodes_get_equal_shares(count: int, tolerance: float) -> None:
    shares = Slots(nodes(count)).shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == set(nodes(count))
    for node, share in shares.items():
        assert share == pytest.approx(1 / count, rel=tolerance), node


def test_weights_give_proportional_shares() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 0.5}
    shares = Slots(weights).shares()
    for node, weight in weights.items():
        assert shares[node] == pytest.approx(weight / 8.5, rel=0.04), node


def test_scaling_all_weights_changes_nothing() -> None:
    assert owners(Slots({"a": 1.0, "b": 3.0})) == owners(Slots({"a": 7.0, "b": 21.0}))


@FEW
@given(st.permutations(list(nodes(5))), st.integers(0, SLOTS - 1))
def test_the_order_in_which_nodes_are_given_is_irrelevant(order: list[str], slot: int) -> None:
    assert Slots(dict.fromkeys(order, 1.0)).ranking(slot) == Slots(nodes(5)).ranking(slot)


@FEW
@given(st.lists(st.sets(st.sampled_from(sorted(nodes(6)))), min_size=1, max_size=4))
def test_the_path_of_membership_changes_is_irrelevant(path: list[set[str]]) -> None:
    slots = Slots()
    for members in path:
        slots.assign(dict.fromkeys(members, 1.0))
    fresh = Slots(dict.fromkeys(path[-1], 1.0))
    assert all(slots.ranking(slot) == fresh.ranking(slot) for slot in range(0, SLOTS, 257))


@SOME
@given(slot=st.integers(0, SLOTS - 1))
def test_a_ranking_holds_every_node_once(ten: Slots, slot: int) -> None:
    assert sorted(ten.ranking(slot)) == sorted(nodes(10))


def test_shares_agree_with_the_rankings(ten: Slots) -> None:
    first = owners(ten)
    assert ten.shares() == {node: first.count(node) / SLOTS for node in nodes(10)}


def test_without_nodes_a_ranking_is_empty() -> None:
    assert Slots().ranking(0) == ()
    assert Slots().shares() == {}


def test_assign_tells_whether_anything_changed_and_keeps_its_own_copy() -> None:
    weights = {"a": 1.0}
    slots = Slots()
    assert slots.assign(weights)
    assert not slots.assign({"a": 1.0})
    weights["b"] = 1.0
    assert slots.weights == {"a": 1.0}
    assert slots.assign(weights)
    assert len(slots.ranking(0)) == 2


GOLDEN_SLOTS = {b"": 45566, b"alice": 49202, b"127.0.0.1": 64123}
GOLDEN_RANKINGS = {0: "132", 1: "123", 2: "132", 3: "312", 4: "123", 5: "231", 32768: "312", 65535: "312"}


def test_slots_and_rankings_are_those_of_every_earlier_version() -> None:
    """A change here moves the clients of every running cluster while it is being updated."""
    assert {key: slot_of(key) for key in GOLDEN_SLOTS} == GOLDEN_SLOTS
    slots = Slots({"gateway-1": 1.0, "gateway-2": 1.0, "gateway-3": 2.0})
    assert {slot: "".join(node[-1] for node in slots.ranking(slot)) for slot in GOLDEN_RANKINGS} == GOLDEN_RANKINGS


def test_another_process_ranks_alike() -> None:
    code = (
        "from flux_gateway.core.slots import Slots; s = Slots({f'n{i}': 1.0 for i in range(7)});"
        "print([s.ranking(i) for i in range(0, 65536, 999)])"
    )
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    mine = Slots({f"n{number}": 1.0 for number in range(7)})
    assert other.stdout.strip() == repr([mine.ranking(slot) for slot in range(0, SLOTS, 999)])


def test_keys_spread_evenly_over_the_slots() -> None:
    counts = [0] * 16
    for number in range(16_000):
        counts[slot_of(b"user-%d" % number) >> 12] += 1
    assert min(counts) > 850
    assert max(counts) < 1150
