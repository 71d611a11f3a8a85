"""`flux drain --wait` against a real node with real sessions."""

import contextlib
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.unit.cli.conftest import Host


@pytest.fixture
def sessions(host: Host) -> Iterator[list[ClientConnection]]:
    """Twenty sessions on gateway-1, which takes sessions again at the end."""
    url = f"ws://{host.stack.host(1, 1)}:7000/echo"
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(f"{url}?session={number}", proxy=None)) for number in range(20)]
    host.flux("undrain", "gateway-1")


def test_it_returns_when_the_last_session_is_gone(host: Host, sessions: list[ClientConnection]) -> None:
    started = time.monotonic()
    out, err = host.flux("drain", "gateway-1", "--seconds", "2", "--wait")
    assert 1.0 < time.monotonic() - started < 10
    first, last = out.splitlines()
    assert first == "gateway-1 is DRAINING; 20 sessions to give up"
    assert last.startswith("gateway-1 is empty after ")
    assert err == ""
    assert host.stack.nodes[0].info()["connections"] == 0


def test_an_empty_node_is_not_waited_for(host: Host) -> None:
    try:
        assert "is empty after 0.0 s" in host.flux("drain", "gateway-1", "--wait")[0]
    finally:
        host.flux("undrain", "gateway-1")


def test_sessions_left_when_the_window_is_over_are_status_1(host: Host, sessions: list[ClientConnection]) -> None:
    host.flux("drain", "gateway-1", "--seconds", "60")  # it goes on with its own window
    _, err = host.flux("drain", "gateway-1", "--seconds", "0.5", "--wait", status=1)
    assert "gateway-1 still holds " in err
    assert "the window is over" in err
    assert len(err.splitlines()) == 1


def test_a_drain_that_somebody_undoes_ends_the_wait(host: Host, sessions: list[ClientConnection]) -> None:
    waiting = host.begin("drain", "gateway-1", "--seconds", "60", "--wait")
    assert waiting.stdout is not None
    assert "DRAINING" in waiting.stdout.readline()
    host.flux("undrain", "gateway-1")
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 1
    assert "gateway-1 takes sessions again" in err
    host.flux("drain", "gateway-1", "--seconds", "0", "--wait")  # for the fixture's undrain
