"""`load.pace`: even, without drift, bounded after a stall."""

from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.load.pace import BURST_SECONDS, Pace


def test_turns_are_even_and_do_not_drift() -> None:
    pace = Pace(30_000, 100.0)
    taken = 0
    for millisecond in range(10_001):
        due = pace.take(100.0 + millisecond / 1000)
        assert 29 <= due <= 31 or millisecond == 0
        taken += due
    assert taken == 300_001
    assert pace.given_up == 0


def test_a_slow_pace_gives_single_turns_when_they_are_due() -> None:
    pace = Pace(0.5, 10.0)
    assert pace.take(10.0) == 1
    assert pace.next_at() == 12.0
    assert pace.take(11.99) == 0
    assert pace.take(12.0) == 1


def test_before_the_start_nothing_is_due() -> None:
    assert Pace(1000, 10.0).take(9.0) == 0


def test_a_stall_is_caught_up_in_bounded_pieces() -> None:
    pace = Pace(1000, 0.0)
    pace.take(0.0)
    pieces = []
    while due := pace.take(0.5):
        pieces.append(due)
    assert sum(pieces) == 500
    assert set(pieces) == {int(1000 * BURST_SECONDS)}
    assert pace.next_at() > 0.5


def test_a_long_stall_is_given_up_but_for_a_second() -> None:
    pace = Pace(1000, 0.0)
    pace.take(0.0)
    caught_up = 0
    while due := pace.take(10.0):
        caught_up += due
    assert caught_up == 1000
    assert pace.given_up == 9000
    assert pace.take(10.001) == 1  # back in time


@given(st.floats(0.1, 1e5), st.lists(st.floats(0, 0.9), max_size=60))
def test_handed_out_never_runs_ahead_of_time(rate: float, steps: list[float]) -> None:
    pace, now, taken = Pace(rate, 0.0), 0.0, 0
    for step in steps:
        now += step
        taken += pace.take(now)
        assert taken + pace.given_up <= now * rate + 1
