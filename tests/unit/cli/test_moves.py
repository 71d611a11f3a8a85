"""How `flux status`, `flux top` and `flux stat` tell of the sessions that proxies have moved."""

import time
from typing import Any

import pytest

from flux_gateway.cli.stat import _line
from flux_gateway.cli.status import shown_moves
from tests.processes import until
from tests.unit.cli.conftest import Host


@pytest.mark.parametrize(
    ("moves", "shown"),
    [
        ({}, "0"),
        ({"move": 0, "reattach": 0, "failed": 0}, "0"),
        ({"move": 1234}, "1234"),
        ({"move": 12, "reattach": 5, "failed": 2}, "12, 5 reattached, 2 failed"),
        ({"failed": 1}, "0, 1 failed"),
    ],
)
def test_what_did_not_happen_is_left_out(moves: dict[str, int], shown: str) -> None:
    assert shown_moves(moves) == shown


def sample(**changes: Any) -> dict[str, Any]:
    """Return one sample of `/stat`."""
    made = {
        "time": time.time(), "gc": [], "rss": 1024, "cpu_seconds": 0.0, "connections": 0, "messages_in": 0,
        "messages_out": 0, "lag": 0.0,
    }  # fmt: skip
    return made | changes


def test_a_line_of_a_proxy_counts_the_moves_of_the_interval() -> None:
    before = sample(moves={"move": 10, "reattach": 1, "failed": 0}, pause_p50=0.0, pause_p99=0.0)
    now = sample(moves={"move": 510, "reattach": 3, "failed": 1}, pause_p50=0.0016, pause_p99=0.0045)
    line = _line(before, now)
    assert {name: line[name] for name in ("moved", "reatt", "failed", "p50_ms", "p99_ms")} == {
        "moved": 500, "reatt": 2, "failed": 1, "p50_ms": 1.6, "p99_ms": 4.5,
    }  # fmt: skip


def test_a_line_of_a_node_does_not() -> None:
    assert "moved" not in _line(sample(), sample())


def test_status_and_top_show_a_column(host: Host) -> None:
    record = until(lambda: host.json("status")["proxies"], "a proxy")[0]
    assert isinstance(record["moves"], dict)
    assert "sessions moved" in host.flux("status")[0]
    assert "moved" in host.flux("top", "--once")[0]
