"""`core.pacing`: how many of a drain's closes are due."""

from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.pacing import due_closes
from tests.unit.core.support import SOME


def test_none_is_due_at_the_start_the_first_right_after_and_all_one_slice_before_the_end() -> None:
    assert due_closes(10, 100, 110, 100) == 0
    assert due_closes(10, 100, 110, 100.01) == 1
    assert due_closes(10, 100, 110, 105) == 5
    assert due_closes(10, 100, 110, 109) == 9
    assert due_closes(10, 100, 110, 109.01) == 10
    assert due_closes(10, 100, 110, 110) == 10
    assert due_closes(10, 100, 110, 1e9) == 10


def test_before_the_start_none_is_due() -> None:
    assert due_closes(10, 100, 110, 90) == 0


def test_without_a_window_all_are_due_at_once() -> None:
    assert due_closes(10, 100, 100, 100) == 10
    assert due_closes(10, 100, 90, 95) == 10


def test_without_sessions_none_is_due() -> None:
    assert due_closes(0, 0, 10, 5) == 0


@SOME
@given(st.integers(0, 10_000), st.floats(0.001, 3600), st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=20))
def test_it_never_goes_back_and_never_strays_more_than_one_from_the_straight_line(
    initial: int, seconds: float, moments: list[float]
) -> None:
    before = 0
    for part in sorted(moments):
        due = due_closes(initial, 1000.0, 1000.0 + seconds, 1000.0 + part * seconds)
        assert before <= due <= initial
        assert abs(due - initial * min(1, max(0, part))) <= 1 + 1e-6 * initial / seconds
        before = due
