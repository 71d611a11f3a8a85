"""`core.rebalance`: which sessions move after the nodes have changed, and how fast."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.balance import Bounds, order
from flux_gateway.core.rebalance import Pace, overload, plan
from flux_gateway.core.slots import SLOTS, Slots
from tests.unit.core.support import FEW, SOME, Fake

TIGHT = Bounds(factor=1.25, floor=1)

Session = tuple[str, int, str]
Ranking = Callable[[int], tuple[str, ...]]


def on(homes: str, slot: int = 0) -> list[Session]:
    """Return a session for each letter: the node it is on."""
    return [(str(number), slot, home) for number, home in enumerate(homes)]


def ranks(*rankings: str) -> Ranking:
    """Return what ranks slot 0, 1 and so on as given."""
    return [tuple(ranking) for ranking in rankings].__getitem__


def carried_out(
    sessions: Iterable[Session], moves: list[tuple[str, str]], nodes: dict[str, Fake]
) -> tuple[list[Session], dict[str, Fake]]:
    """Return sessions and nodes after the moves."""
    targets, after = dict(moves), {node_id: replace(node) for node_id, node in nodes.items()}
    moved = []
    for key, slot, home in sessions:
        target = targets.get(key, home)
        if target != home:
            after[target].load += 1
            if home in after:
                after[home].load -= 1
        moved.append((key, slot, target))
    return moved, after


def test_what_nodes_hold_above_their_bounds_is_overload() -> None:
    nodes = {"a": Fake(40), "b": Fake(10), "c": Fake(90, usable=False)}
    assert overload(nodes, Bounds(1.25, 1)) == 8  # 1.25 x 25 = 31.25: 32 may stay
    assert overload(nodes, Bounds(1.25, 45)) == 0
    assert overload({"a": Fake(12, weight=2.0), "b": Fake(12)}, Bounds(1.0, 1)) == 4
    assert overload({"c": Fake(90, usable=False)}, TIGHT) == overload({}, TIGHT) == 0


def test_a_session_goes_to_the_node_that_ranks_first() -> None:
    nodes = {"a": Fake(10), "b": Fake(11)}
    assert plan(on("b"), ranks("ab"), nodes, TIGHT) == [("0", "a")]
    assert len(plan(on("b"), ranks("ab"), nodes, TIGHT)) == 1


def test_one_that_is_there_already_stays() -> None:
    assert plan(on("aab"), ranks("ab"), {"a": Fake(2), "b": Fake(2)}, Bounds(2, 1)) == [("2", "a")]
    assert plan(on("aa"), ranks("ab"), {"a": Fake(2), "b": Fake(2)}, TIGHT) == []


def test_a_full_node_takes_nobody_and_who_is_at_the_next_rank_stays() -> None:
    # 21 sessions on 3 nodes: the bound is ceil(1.25 * 7) = 9.
    nodes = {"a": Fake(9), "b": Fake(8), "c": Fake(4)}
    assert plan(on("b"), ranks("abc"), nodes, TIGHT) == []
    assert plan(on("c"), ranks("abc"), nodes, TIGHT) == [("0", "b")]


def test_a_node_over_the_bound_gives_sessions_away_to_the_next_rank_with_room() -> None:
    # 24 sessions on 3 nodes, 13 of them this proxy's: the bound is 10, b has room for one.
    nodes = {"a": Fake(13), "b": Fake(9), "c": Fake(2)}
    moves = plan(on("a" * 13), ranks("abc"), nodes, TIGHT)
    assert Counter(target for _, target in moves) == {"b": 1, "c": 2}


def test_those_that_rank_an_overfull_node_low_leave_it_first() -> None:
    # 16 sessions on 4 nodes: the bound is 5. Slot 0 ranks d first, slot 1 last.
    sessions = [(f"{slot}{number}", slot, "d") for slot in (0, 1) for number in range(3)]
    nodes = {"a": Fake(5), "b": Fake(4), "c": Fake(1), "d": Fake(6)}
    assert plan(sessions, ranks("dcab", "abdc"), nodes, Bounds(1.25, 1)) == [("10", "b")]


def test_room_that_a_move_leaves_goes_to_one_that_waited_for_it() -> None:
    # The bound is 3. Slot 0 prefers b, slot 1 a: the first leaves a, and the second comes in.
    nodes = {"a": Fake(3), "b": Fake(2), "c": Fake(1)}
    assert plan([("w", 1, "c"), ("x", 0, "a")], ranks("bac", "acb"), nodes, TIGHT) == [("w", "a"), ("x", "b")]


@pytest.mark.parametrize("gone", [True, False])
def test_nobody_stays_at_or_goes_to_a_node_that_is_not_usable(gone: bool) -> None:
    nodes = {"b": Fake(3), "c": Fake(2)} | ({} if gone else {"a": Fake(3, usable=False)})
    moves = plan(on("aaa"), ranks("abc"), nodes, TIGHT)
    assert {key for key, _ in moves} == {"0", "1", "2"}
    assert {target for _, target in moves} == {"b", "c"}


def test_without_room_anywhere_a_session_leaves_an_unusable_node_nevertheless() -> None:
    nodes = {"a": Fake(1, usable=False), "b": Fake(50, ramp=0.1), "c": Fake(50, ramp=0.1)}
    assert plan(on("a"), ranks("acb"), nodes, TIGHT) == [("0", "c")]


def test_without_a_usable_node_nothing_moves() -> None:
    assert plan(on("ab"), ranks("ab"), {"a": Fake(1, usable=False), "b": Fake(1, usable=False)}, TIGHT) == []
    assert plan([], ranks(), {}, TIGHT) == []


def test_the_most_urgent_moves_come_first() -> None:
    # The bound is 10: e is over it, d not usable, and the session on a is only better placed elsewhere.
    sessions = [("better", 0, "a"), *((f"over-{number}", 1, "e") for number in range(12)), ("displaced", 0, "d")]
    nodes = {"a": Fake(10), "b": Fake(3), "d": Fake(1, usable=False), "e": Fake(12), "c": Fake(5)}
    moves = [key for key, _ in plan(sessions, ranks("badec", "ecbad"), nodes, TIGHT)]
    assert [key.partition("-")[0] for key in moves] == ["displaced", "over", "over", "better"]


def test_the_load_of_other_proxies_counts_and_each_gives_away_its_part_of_what_is_too_much() -> None:
    # 100 sessions on 2 nodes: the bound is 63. This proxy has half of all, so its part of the bound is 32.
    nodes = {"a": Fake(80), "b": Fake(20)}
    assert len(plan(on("a" * 40 + "b" * 10), lambda _: ("a", "b"), nodes, TIGHT)) == 8


def test_other_proxies_fill_a_node_too() -> None:
    assert plan(on("b"), ranks("ab"), {"a": Fake(40), "b": Fake(1)}, TIGHT) == []


def test_a_node_that_ramps_up_is_filled_as_far_as_it_is_ready_unless_told_otherwise() -> None:
    nodes = {"a": Fake(40), "b": Fake(0, ramp=0.2)}
    assert len(plan(on("a" * 40), ranks("ba"), nodes, TIGHT)) == 5
    assert len(plan(on("a" * 40), ranks("ba"), nodes, TIGHT, ramped=False)) == 25


def spread_over(slots: Slots, count: int, seed: int = 1) -> list[Session]:
    """Return sessions with random slots, each on the node that its slot ranks first."""
    random = Random(seed)
    drawn = [random.randrange(SLOTS) for _ in range(count)]
    return [(str(number), slot, slots.ranking(slot)[0]) for number, slot in enumerate(drawn)]


def loads(sessions: Iterable[Session], names: Iterable[str]) -> dict[str, Fake]:
    counted = Counter(home for _, _, home in sessions)
    return {name: Fake(counted[name]) for name in names}


@FEW
@given(st.integers(0, 2**31))
def test_from_three_to_four_nodes_2000_sessions_end_within_the_bound(seed: int) -> None:
    names = [f"gateway-{number}" for number in range(1, 5)]
    sessions = spread_over(Slots(dict.fromkeys(names[:3], 1.0)), 2000, seed)
    nodes, ranking = loads(sessions, names), Slots(dict.fromkeys(names, 1.0)).ranking
    moves = plan(sessions, ranking, nodes, Bounds())
    assert {target for _, target in moves} == {"gateway-4"}
    after, _ = carried_out(sessions, moves, nodes)
    assert max(node.load for node in loads(after, names).values()) <= 1.25 * 2000 / 4
    assert len(moves) == sum(home != ranking(slot)[0] for _, slot, home in sessions)


def test_a_node_that_leaves_and_comes_back_gets_its_own_sessions_back() -> None:
    names = ["a", "b", "c"]
    slots = Slots(dict.fromkeys(names, 1.0))
    at_home = spread_over(slots, 900)
    nodes = loads(at_home, names)
    nodes["a"].usable = False
    moved, _ = carried_out(at_home, plan(at_home, slots.ranking, nodes, TIGHT), nodes)
    assert {home for _, _, home in moved} == {"b", "c"}
    back, _ = carried_out(moved, plan(moved, slots.ranking, loads(moved, names), TIGHT), loads(moved, names))
    assert back == at_home


NAMES = "abcde"


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Session], list[str], dict[str, Fake]]:
    """Draw nodes, rankings of up to four slots, and sessions on any nodes, also on one nobody knows any more."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    rankings = draw(st.lists(st.permutations(names).map("".join), min_size=1, max_size=4))
    homes = draw(st.lists(st.tuples(st.integers(0, len(rankings) - 1), st.sampled_from([*names, "?"])), max_size=60))
    sessions = [(str(number), slot, home) for number, (slot, home) in enumerate(homes)]
    nodes = {
        name: Fake(
            load=sum(home == name for _, _, home in sessions) + draw(st.integers(0, 40)),
            usable=draw(st.integers(0, 4)) > 0,
            weight=draw(st.sampled_from([0.5, 1.0, 3.0])),
            ramp=draw(st.sampled_from([0.1, 1.0])),
        )
        for name in names
    }
    return sessions, rankings, nodes


@SOME
@given(clusters(), st.sampled_from([TIGHT, Bounds(), Bounds(1.0, 1)]))
def test_a_plan_carried_out_leaves_nothing_to_plan(
    cluster: tuple[list[Session], list[str], dict[str, Fake]], bounds: Bounds
) -> None:
    sessions, rankings, nodes = cluster
    moves = plan(sessions, ranks(*rankings), nodes, bounds)
    assert plan(*_after(sessions, moves, nodes, rankings), bounds) == []


def _after(
    sessions: list[Session], moves: list[tuple[str, str]], nodes: dict[str, Fake], rankings: list[str]
) -> tuple[list[Session], Ranking, dict[str, Fake]]:
    moved, after = carried_out(sessions, moves, nodes)
    return moved, ranks(*rankings), after


@SOME
@given(clusters(), st.randoms(use_true_random=False))
def test_carried_out_in_small_parts_and_any_order_it_comes_to_an_end(
    cluster: tuple[list[Session], list[str], dict[str, Fake]], random: Random
) -> None:
    sessions, rankings, nodes = cluster
    for _ in range(10 * len(sessions) + 1):
        moves = plan(sessions, ranks(*rankings), nodes, TIGHT)
        if not moves:
            break
        sessions, nodes = carried_out(sessions, random.sample(moves, min(len(moves), 5)), nodes)
    else:
        raise AssertionError("it goes on for ever")


@SOME
@given(clusters())
def test_who_moves_goes_to_a_usable_node_and_nobody_better_placed_is_left_out(
    cluster: tuple[list[Session], list[str], dict[str, Fake]],
) -> None:
    sessions, rankings, nodes = cluster
    moves = plan(sessions, ranks(*rankings), nodes, TIGHT)
    homes = {key: home for key, _, home in sessions}
    assert all(nodes[target].usable and homes[key] != target for key, target in moves)
    assert len(dict(moves)) == len(moves)
    after, then = carried_out(sessions, moves, nodes)
    for _, slot, home in after:
        # Where a new session with this slot would go, were it not for this one: never better than where it is.
        best = next(order(tuple(rankings[slot]), then, TIGHT))
        if then[best].usable and best != home:
            total = sum(node.load for node in then.values() if node.usable)
            weights = sum(node.weight for node in then.values() if node.usable)
            bound = max(1, ceil(1.25 * total * then[best].weight / weights * then[best].ramp))
            place = rankings[slot].index
            assert then[best].load >= bound or place(best) > place(home)


@SOME
@given(clusters())
def test_sessions_of_one_proxy_end_under_the_bounds_where_all_nodes_are_ready(
    cluster: tuple[list[Session], list[str], dict[str, Fake]],
) -> None:
    sessions, rankings, nodes = cluster
    for name, node in nodes.items():
        node.ramp, node.load = 1.0, sum(home == name for _, _, home in sessions)
    _, then = carried_out(sessions, plan(sessions, ranks(*rankings), nodes, TIGHT), nodes)
    usable = [node for node in then.values() if node.usable]
    total, weights = sum(node.load for node in usable), sum(node.weight for node in usable)
    assert all(node.load <= max(1, ceil(1.25 * total * node.weight / weights)) for node in usable)


@SOME
@given(st.integers(2, 4), st.integers(0, 2**31))
def test_several_proxies_that_plan_at_the_same_moment_do_not_swing(proxies: int, seed: int) -> None:
    """All sessions rank the same node first and sit there; every proxy acts on what was true before."""
    random = Random(seed)
    sessions = [("p", 0, "a")] * 400
    shares: list[list[Session]] = [[] for _ in range(proxies)]
    for number, (_, slot, home) in enumerate(sessions):
        shares[random.randrange(proxies)].append((str(number), slot, home))
    for _ in range(5):
        nodes = loads((session for share in shares for session in share), "abcd")
        moves = [plan(share, ranks("abcd"), nodes, TIGHT) for share in shares]
        if not any(moves):
            break
        shares = [carried_out(share, mine, nodes)[0] for share, mine in zip(shares, moves, strict=True)]
    else:
        raise AssertionError("they swing")
    assert max(node.load for node in nodes.values()) < 125 + proxies


def test_the_pace_is_a_part_of_all_sessions_a_minute() -> None:
    pace = Pace(0.10)
    assert pace.per_minute(6000) == 600
    assert pace.due(6000, 100.0) == 0
    begun = 0
    for tenth in range(1, 601):
        due = pace.due(6000, 100.0 + tenth / 10)
        pace.took(due)
        begun += due
    assert begun in (599, 600)


def test_what_was_not_begun_does_not_pile_up_beyond_a_second() -> None:
    pace = Pace(0.10)
    pace.due(6000, 0.0)
    assert pace.due(6000, 3600.0) == 10
    pace.took(4)
    assert pace.due(6000, 3600.0) == 6


def test_a_slow_pace_comes_to_one_in_the_end() -> None:
    pace = Pace(0.10)
    assert pace.due(100, 0.0) == 0
    assert pace.due(100, 5.9) == 0
    assert pace.due(100, 6.1) == 1
    pace.took(1)
    assert pace.due(100, 7.0) == 0


def test_at_once_all_are_due_and_the_clock_may_stand_still() -> None:
    pace = Pace()
    assert pace.due(2000, 5.0, at_once=True) == 2000
    pace.took(2000)
    assert pace.due(2000, 5.0) == 0
    assert pace.due(2000, 4.0) == 0


@SOME
@given(st.integers(0, 20_000), st.floats(0.01, 1.0), st.lists(st.floats(0.001, 30), max_size=50))
def test_it_is_never_faster_than_the_pace(sessions: int, share: float, gaps: list[float]) -> None:
    pace, now, begun = Pace(share), 0.0, 0
    pace.due(sessions, now)
    a_second = share * sessions / 60
    for gap in gaps:
        now += gap
        due = pace.due(sessions, now)
        pace.took(due)
        begun += due
        assert due <= max(1, ceil(a_second))
        assert begun <= a_second * now + 1e-6
