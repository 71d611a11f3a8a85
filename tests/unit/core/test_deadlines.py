"""`core.deadlines`: many things with the same time to live."""

import time

from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.deadlines import Deadlines
from tests.unit.core.support import SOME


def test_items_expire_in_the_order_in_which_they_were_added_and_only_once() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    for now, item in enumerate("abc"):
        deadlines.add(item, now)
    assert list(deadlines.expired(4.9)) == []
    assert list(deadlines.expired(6.0)) == ["a", "b"]
    assert list(deadlines.expired(6.0)) == []
    assert list(deadlines) == ["c"]


def test_adding_again_restarts_the_time() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", 0)
    deadlines.add("b", 1)
    deadlines.add("a", 3)
    assert list(deadlines.expired(7)) == ["b"]
    assert list(deadlines.expired(8)) == ["a"]


def test_a_discarded_item_does_not_expire() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", 0)
    deadlines.discard("a")
    deadlines.discard("never there")
    assert "a" not in deadlines
    assert len(deadlines) == 0
    assert list(deadlines.expired(10)) == []


def test_what_an_expiry_leads_to_may_discard_and_add_others() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    for item in "abcd":
        deadlines.add(item, 0)
    seen = []
    for item in deadlines.expired(5):
        seen.append(item)
        deadlines.discard("b")
        if item == "c":
            deadlines.add("a", 5)
    assert seen == ["a", "c", "d"]
    assert list(deadlines) == ["a"]


def test_an_expiry_that_is_broken_off_leaves_the_others_due() -> None:
    deadlines: Deadlines[str] = Deadlines(1)
    for item in "abc":
        deadlines.add(item, 0)
    assert next(deadlines.expired(1)) == "a"
    assert list(deadlines.expired(1)) == ["b", "c"]


def test_expiring_many_takes_time_in_proportion() -> None:
    """With a plain dict four times the items took sixteen times as long: 3 s for 80,000."""

    def seconds(count: int) -> float:
        deadlines: Deadlines[int] = Deadlines(1)
        for item in range(count):
            deadlines.add(item, 0)
        started = time.process_time()
        assert sum(1 for _ in deadlines.expired(1)) == count
        return time.process_time() - started

    assert seconds(80_000) < 1.0


ACTIONS = st.lists(st.tuples(st.sampled_from(["add", "discard", "expire"]), st.integers(0, 5), st.integers(0, 4)))


@SOME
@given(ACTIONS)
def test_it_does_what_a_table_of_due_times_would(actions: list[tuple[str, int, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines(5)
    model: dict[int, int] = {}
    now = 0
    for action, item, passed in actions:
        now += passed
        if action == "add":
            deadlines.add(item, now)
            model[item] = now + 5
        elif action == "discard":
            deadlines.discard(item)
            model.pop(item, None)
        else:
            due = {item for item, at in model.items() if at <= now}
            assert set(deadlines.expired(now)) == due
            model = {item: at for item, at in model.items() if item not in due}
        assert set(deadlines) == set(model)
        assert len(deadlines) == len(model)
