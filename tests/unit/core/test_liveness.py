"""`core.liveness`: how quickly a link falls, and how carefully it rises again."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.liveness import LinkHealth, LinkPolicy, LinkState
from tests.unit.core.support import SOME

POLICY = LinkPolicy()


def risen(policy: LinkPolicy = POLICY, now: float = 100.0) -> LinkHealth:
    health = LinkHealth(policy)
    health.connected(now)
    health.heard(now)
    assert state(health) is LinkState.UP
    return health


def state(health: LinkHealth) -> LinkState:
    """The state now; a call, since mypy takes an attribute for unchanged."""
    return health.state


def crash(health: LinkHealth, now: float) -> None:
    health.closed(now)
    assert state(health) is LinkState.DOWN


def rise_at(health: LinkHealth, now: float, step: float = 0.1) -> float:
    """Connect at `now`, answer every `step` seconds; return when the link is up."""
    health.connected(now)
    for number in range(10_000):
        at = now + number * step
        health.heard(at)
        if state(health) is LinkState.UP:
            return at - now
    raise AssertionError("never up")


def flaps(health: LinkHealth, count: int, now: float) -> Iterator[float]:
    """Let a risen link fall `count` times; yield how long each return to UP took."""
    for _ in range(count):
        crash(health, now)
        took = rise_at(health, now, 0.01)
        now += took + 1.0
        yield took


def test_a_new_link_is_down_then_suspect_then_up_with_its_first_answer() -> None:
    health = LinkHealth(POLICY)
    assert state(health) is LinkState.DOWN
    assert health.heard_at == 0
    health.connected(5.0)
    assert state(health) is LinkState.SUSPECT
    health.heard(5.5)
    assert state(health) is LinkState.UP
    assert health.heard_at == 5.5


def test_three_misses_make_a_link_suspect_before_the_third_second_is_over() -> None:
    health = risen(now=100.0)
    health.tick(102.89)
    assert state(health) is LinkState.UP
    health.tick(102.95)
    assert state(health) is LinkState.SUSPECT
    assert POLICY.silence <= 2.9


def test_every_answer_starts_the_silence_anew() -> None:
    health = risen(now=100.0)
    health.heard(102.8)
    health.tick(105.6)
    assert state(health) is LinkState.UP
    health.tick(105.8)
    assert state(health) is LinkState.SUSPECT


def test_a_closed_link_is_down_at_once() -> None:
    crash(risen(), 100.0)


def test_a_fallen_link_rises_with_the_second_answer_in_a_row() -> None:
    health = risen(now=100.0)
    health.tick(103.0)
    health.heard(103.1)
    assert state(health) is LinkState.SUSPECT
    health.heard(104.1)
    assert state(health) is LinkState.UP


def test_a_closed_connection_ends_the_row_of_answers() -> None:
    health = risen()
    crash(health, 101.0)
    health.connected(101.0)
    health.heard(101.1)
    health.closed(101.2)
    health.connected(101.3)
    health.heard(101.4)
    assert state(health) is LinkState.SUSPECT
    health.heard(101.5)
    assert state(health) is LinkState.UP


def test_the_first_fall_is_not_held_off_and_each_further_one_twice_as_long_up_to_the_cap() -> None:
    took = list(flaps(risen(), 9, 200.0))
    assert took == pytest.approx([0.01, 1, 2, 4, 8, 16, 30, 30, 30], abs=0.02)


def test_even_a_thousand_falls_are_held_off_no_longer_than_the_cap() -> None:
    policy = LinkPolicy(hold_off_max=0.05)
    assert max(flaps(risen(policy), 1000, 200.0)) <= 0.06


def test_silence_and_the_close_after_it_are_one_fall() -> None:
    health = risen(now=100.0)
    health.tick(103.0)
    health.closed(103.1)
    assert rise_at(health, 103.2) < 0.2


def test_a_planned_leave_is_no_flap() -> None:
    health = risen(now=100.0)
    for now in range(101, 110):
        health.planned = True
        crash(health, now)
        assert rise_at(health, now) == 0
        assert health.ramp(now) == 1


def test_a_plan_ends_with_the_connection_it_was_made_on() -> None:
    health = risen(now=100.0)
    health.planned = True
    crash(health, 101.0)
    rise_at(health, 102.0)
    assert not health.planned
    crash(health, 103.0)
    health.connected(103.0)
    health.heard(103.1)
    assert state(health) is LinkState.SUSPECT


def test_falls_are_forgiven_after_a_minute_up() -> None:
    health = risen()
    assert list(flaps(health, 4, 200.0))[-1] > 3
    start = 300.0
    for second in range(int(POLICY.forgive)):
        health.heard(start + second)
        health.tick(start + second)
    assert health.ramp(start + 60) == 1
    assert list(flaps(health, 2, start + 60)) == pytest.approx([0, 1], abs=0.02)


def test_falls_are_not_forgiven_earlier() -> None:
    health = risen(now=0.0)
    list(flaps(health, 3, 10.0))  # up again for good at about 16 s
    for second in range(20, 60):
        health.heard(second)
        health.tick(second)
    crash(health, 60.0)
    assert rise_at(health, 60.0) == pytest.approx(4, abs=0.2)


def test_a_new_node_takes_its_full_share_at_once() -> None:
    assert risen(now=100.0).ramp(100.0) == 1


def test_a_node_that_came_back_takes_its_share_slowly() -> None:
    health = risen(now=100.0)
    crash(health, 101.0)
    up = 101.0 + rise_at(health, 101.0)
    assert health.ramp(up) == 0.05
    assert health.ramp(up + 5) == pytest.approx(0.5)
    assert health.ramp(up + 10) == 1
    assert health.ramp(up + 1000) == 1


def test_slow_start_can_be_turned_off() -> None:
    health = risen(LinkPolicy(slow_start=0), now=100.0)
    crash(health, 101.0)
    rise_at(health, 101.0)
    assert health.ramp(101.2) == 1


EVENTS = st.lists(st.tuples(st.sampled_from(["connected", "heard", "tick", "closed", "leaving"]), st.floats(0, 5)))


@SOME
@given(EVENTS)
def test_whatever_happens_a_silent_link_is_never_up_and_the_ramp_stays_within_its_range(
    events: list[tuple[str, float]],
) -> None:
    health, now, connected = LinkHealth(POLICY), 1.0, False
    for name, passed in events:
        now += passed
        if name in ("heard", "leaving") and not connected:
            continue
        connected = name == "connected" or (connected and name != "closed")
        if name == "leaving":
            health.planned = True
        else:
            getattr(health, name)(now)
        health.tick(now)
        assert (state(health) is LinkState.DOWN) is not connected
        if state(health) is LinkState.UP:
            assert now - health.heard_at < POLICY.silence
        assert 0 < health.ramp(now) <= 1
