"""`core.balance`: the order in which nodes are dialled."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.balance import Bounds, order
from tests.unit.core.support import SOME, Fake

TIGHT = Bounds(factor=1.25, floor=1)


def dialled(ranking: str, nodes: dict[str, Fake], bounds: Bounds = TIGHT) -> str:
    return "".join(order(tuple(ranking), nodes, bounds))


def test_free_nodes_come_in_rank_order() -> None:
    assert dialled("bca", {"a": Fake(10), "b": Fake(10), "c": Fake(10)}) == "bca"


def test_a_full_node_comes_after_the_free_ones() -> None:
    assert dialled("bca", {"a": Fake(10), "b": Fake(20), "c": Fake(10)}) == "cab"


def test_full_nodes_keep_their_rank_order_among_themselves() -> None:
    nodes = {"a": Fake(30), "b": Fake(0), "c": Fake(30), "d": Fake(0)}
    assert dialled("cabd", nodes) == "bdca"


def test_the_bound_is_the_factor_times_the_mean_counting_the_new_connection() -> None:
    # 41 connections on 4 nodes with the new one: the bound is ceil(1.25 * 41 / 4) = 13.
    assert dialled("ab", {"a": Fake(12), "b": Fake(9), "c": Fake(10), "d": Fake(9)}) == "ab"
    assert dialled("ab", {"a": Fake(13), "b": Fake(9), "c": Fake(9), "d": Fake(9)}) == "ba"


def test_below_the_floor_no_node_is_full() -> None:
    bounds = Bounds(factor=1.25, floor=32)
    assert dialled("ab", {"a": Fake(31), "b": Fake(0)}, bounds) == "ab"
    assert dialled("ab", {"a": Fake(32), "b": Fake(0)}, bounds) == "ba"


def test_unusable_nodes_come_last() -> None:
    assert dialled("abc", {"a": Fake(usable=False), "b": Fake(), "c": Fake()}) == "bca"


def test_full_nodes_come_before_unusable_ones() -> None:
    assert dialled("abc", {"a": Fake(usable=False), "b": Fake(50), "c": Fake(0)}) == "cba"


def test_when_none_is_usable_all_are_tried_in_rank_order() -> None:
    assert dialled("cab", {name: Fake(usable=False) for name in "abc"}) == "cab"


def test_the_load_of_unusable_nodes_does_not_raise_the_bound() -> None:
    assert dialled("ab", {"a": Fake(20), "b": Fake(10), "c": Fake(10_000, usable=False)}) == "ba"


def test_a_heavier_node_may_hold_proportionally_more() -> None:
    assert dialled("ab", {"a": Fake(30, weight=3.0), "b": Fake(10)}) == "ab"
    assert dialled("ab", {"a": Fake(30), "b": Fake(10, weight=3.0)}) == "ba"


def test_a_node_that_ramps_up_is_full_earlier() -> None:
    assert dialled("ab", {"a": Fake(6), "b": Fake(10)}) == "ab"
    assert dialled("ab", {"a": Fake(6, ramp=0.5), "b": Fake(10)}) == "ba"


def test_nodes_that_are_ranked_but_unknown_are_left_out() -> None:
    assert dialled("abc", {"b": Fake()}) == "b"


def test_without_nodes_there_is_nothing_to_dial() -> None:
    assert dialled("", {}) == ""
    assert dialled("ab", {}) == ""


fakes = st.builds(
    Fake, st.integers(0, 500), st.booleans(), st.floats(0.1, 10), st.floats(0.05, 1)
)


@SOME
@given(st.dictionaries(st.sampled_from("abcdefgh"), fakes), st.permutations("abcdefgh"))
def test_every_known_node_is_dialled_exactly_once(nodes: dict[str, Fake], ranking: list[str]) -> None:
    assert sorted(order(tuple(ranking), nodes, TIGHT)) == sorted(nodes)


@SOME
@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=6), st.data())
def test_no_node_passes_its_bound_by_more_than_one_however_the_keys_fall(
    weights: list[float], data: st.DataObject
) -> None:
    """Keys placed one after another, all on the worst ranking: every one prefers the same node."""
    nodes = {f"n{number}": Fake(weight=weight) for number, weight in enumerate(weights)}
    ranking = tuple(data.draw(st.permutations(sorted(nodes))))
    total_weight = sum(weights)
    for placed in range(1, 201):
        node = nodes[next(order(ranking, nodes, TIGHT))]
        node.load += 1
        assert node.load <= ceil(TIGHT.factor * placed * node.weight / total_weight) + 1
    for node in nodes.values():
        assert node.load <= ceil(TIGHT.factor * 200 * node.weight / total_weight) + 1
