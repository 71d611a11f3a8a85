"""`core.histogram`: percentiles within 2 % of the truth."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.histogram import Histogram
from tests.unit.core.support import SOME

SECONDS = st.floats(1e-6, 3600)


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def exact(values: list[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


@SOME
@given(st.lists(SECONDS, min_size=1, max_size=200), st.sampled_from([0, 1, 25, 50, 75, 90, 99, 99.9, 100]))
def test_percentiles_are_at_most_two_percent_above_the_exact_ones_and_never_below(
    values: list[float], percent: float
) -> None:
    truth, found = exact(values, percent), filled(values).percentile(percent)
    assert truth <= found <= truth * 1.02


@SOME
@given(st.lists(st.lists(SECONDS, max_size=30), max_size=4))
def test_merging_is_the_same_as_counting_everything_in_one(groups: list[list[float]]) -> None:
    merged = Histogram()
    for group in groups:
        merged.merge(filled(group))
    whole = filled([value for group in groups for value in group])
    assert (merged.count, merged.largest) == (whole.count, whole.largest)
    for percent in (0, 10, 50, 90, 99, 100):
        assert merged.percentile(percent) == whole.percentile(percent)


def test_merging_leaves_the_other_as_it_was() -> None:
    one, other = filled([1.0]), filled([2.0])
    one.merge(other)
    one.add(3.0)
    assert (other.count, other.largest, other.percentile(100)) == (1, 2.0, 2.0)


def test_an_empty_one_says_zero() -> None:
    assert Histogram().percentile(50) == 0
    assert (Histogram().count, Histogram().largest) == (0, 0)


def test_percentiles_never_exceed_the_largest_value() -> None:
    assert filled([1.0001]).percentile(50) == 1.0001


@pytest.mark.parametrize("tiny", [0.0, -0.001, -5.0, 1e-9, 5e-324])
def test_values_under_a_microsecond_count_as_about_one(tiny: float) -> None:
    histogram = filled([tiny, tiny, 10.0])
    assert histogram.count == 3
    assert 0 <= histogram.percentile(50) <= 2e-6
    assert histogram.percentile(100) == 10.0


def test_values_over_an_hour_count_as_over_an_hour() -> None:
    histogram = filled([1.0, 1e6])
    assert histogram.largest == 1e6
    assert 3600 < histogram.percentile(100) <= 1e6


def test_it_stays_small_whatever_is_added() -> None:
    histogram = filled([1.001**number * 1e-7 for number in range(40_000)])
    assert histogram.count == 40_000
    assert len(histogram._counts) <= 64 * 33
