"""`load.counts`: differences between two moments."""

from typing import Any

import pytest

from flux_gateway.core.histogram import Histogram
from flux_gateway.load.counts import Counts, Latency


def counts(**values: Any) -> Counts:
    """Counts that are zero but for `values`."""
    mappings = ("nodes", "disconnects", "ended", "connect_failures")
    empty: dict[str, Any] = {name: {} if name in mappings else 0 for name in Counts.__struct_fields__}
    return Counts(**(empty | values))


def test_a_difference_counts_what_happened_in_between() -> None:
    before = counts(sent=10, received=8, connected=5, nodes={"a": 5}, disconnects={1006: 1}, lost=1)
    after = counts(
        sent=30, received=29, connected=4, nodes={"b": 4}, disconnects={1006: 1, 1012: 2}, outstanding=1,
        connect_failures={"refused": 3}, reordered=1,
    )  # fmt: skip
    assert after.since(before) == counts(
        sent=20, received=21, connected=4, nodes={"b": 4}, disconnects={1012: 2}, outstanding=1,
        connect_failures={"refused": 3}, reordered=1, lost=-1,
    )  # fmt: skip


def test_only_a_run_that_received_something_and_all_of_it_well_is_clean() -> None:
    assert counts(sent=1, received=1, unanswered=4, disconnects={1006: 2}).clean
    assert not counts(sent=1).clean
    for name in ("lost", "doubled", "reordered", "corrupt"):
        assert not counts(received=5, **{name: 1}).clean


def test_latency_of_a_histogram() -> None:
    histogram = Histogram()
    assert Latency.of(histogram) == Latency(0, 0, 0, 0, 0)
    for milliseconds in range(1, 1001):
        histogram.add(milliseconds / 1000)
    latency = Latency.of(histogram)
    assert latency.p50 == pytest.approx(0.5, rel=0.02)
    assert latency.p90 == pytest.approx(0.9, rel=0.02)
    assert latency.p99 == pytest.approx(0.99, rel=0.02)
    assert latency.p999 == pytest.approx(0.999, rel=0.02)
    assert latency.max == 1.0
