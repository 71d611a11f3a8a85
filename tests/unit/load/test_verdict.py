"""`load.verdict`: what breaks a run, in words."""

from typing import Any

import pytest

from flux_gateway.load.counts import Latency, Report
from flux_gateway.load.newcomers import NewcomerCounts
from flux_gateway.load.verdict import Demands, broken, listed
from tests.unit.load.test_counts import counts


def report(slowest_return: float = 0.0, absent: int = 0, **values: Any) -> Report:
    """A run of ten messages, all back, but for what is given."""
    return Report(
        seconds=1.0, messages_per_second=10.0, latency=Latency(0, 0, 0, 0, 0), longest_silence=0.0,
        slowest_return=slowest_return, absent=absent, cpu_seconds=0.0,
        counts=counts(**({"sent": 10, "received": 10} | values)),
    )  # fmt: skip


def test_disconnects_slow_returns_and_absence_break_nothing_unless_asked_for() -> None:
    assert broken(report(slowest_return=9.0, absent=3, disconnects={1006: 4}, connect_failures={"refused": 1})) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"lost": 1200}, "1,200 messages never came back"),
        ({"doubled": 1}, "1 messages came back twice"),
        ({"reordered": 1}, "out of order"),
        ({"corrupt": 1}, "changed"),
        ({"received": 0}, "no message came back"),
    ],
)
def test_messages_that_are_not_whole(values: dict[str, Any], text: str) -> None:
    (line,) = broken(report(**values))
    assert text in line


def test_only_codes_that_are_not_explained() -> None:
    seen = report(disconnects={1012: 5, 1006: 2, 1011: 1})
    assert broken(seen, demands=Demands(codes=frozenset({1012, 1006, 1011}))) == []
    assert broken(seen, demands=Demands(codes=frozenset({1012}))) == [
        "2 clients were closed with 1006 (cut off without a close frame); expected: 1012",
        "1 clients were closed with 1011; expected: 1012",
    ]
    assert len(broken(seen, demands=Demands(codes=frozenset()))) == 3


def test_codes_explain_only_so_many() -> None:
    seen = report(disconnects={1012: 2, 1006: 2, 1011: 1})
    codes = frozenset({1012, 1006, 1011})
    assert broken(seen, demands=Demands(codes=codes, closed=5)) == []
    assert broken(seen, demands=Demands(codes=codes, closed=4)) == [
        "5 clients were closed with 1006, 1011, 1012; allowed were 4"
    ]
    assert len(broken(seen, demands=Demands(codes=frozenset({1012}), closed=1))) == 3


def test_returns() -> None:
    demands = Demands(return_within=2.0)
    assert broken(report(slowest_return=2.0), demands=demands) == []
    assert broken(report(slowest_return=2.5, absent=1), demands=demands) == [
        "the slowest client needed 2.50 s to be connected again, allowed are 2 s",
        "1 clients had no connection at the end",
    ]


def test_newcomers() -> None:
    assert broken(report(), NewcomerCounts(served=5)) == []
    assert broken(report(), NewcomerCounts(served=5, failed=3, causes={"timeout": 1, "refused": 2})) == [
        "3 new clients were not served: refused 2, timeout 1"
    ]
    twice = NewcomerCounts(served=5, repeated=2)
    assert broken(report(), twice) == ["2 new clients had to ask twice: their question was lost"]
    assert broken(report(), twice, Demands(lost=2)) == []
    assert broken(report(), NewcomerCounts()) == ["no new client was served"]


def test_counts_are_listed_largest_first() -> None:
    assert listed({"a": 1, "": 2000, 1012: 30}) == "unnamed 2,000, 1012 30, a 1"
