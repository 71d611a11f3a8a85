"""`flux drain --wait` against a real node with real sessions."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.sync.client import ClientConnection, connect

from flux_gateway.cli.main import cli
from flux_gateway.runtime import admin_client
from tests.processes import Stack
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


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Host]:
    """A cluster whose only node gives up its sessions within 1 s by default, but is 5 s about it now; it holds ten."""
    with Stack(tmp_path) as stack, contextlib.ExitStack() as clients:
        stack.redis()
        node = stack.gateway(drain_timeout=1)
        stack.proxy()
        host = Host(tmp_path, stack)
        host.write()
        for number in range(10):
            clients.enter_context(connect(f"{node.url}/echo?session={number}", proxy=None))
        host.flux("drain", "gateway-1", "--seconds", "5")
        yield host


def test_without_seconds_it_waits_for_as_long_as_the_node_s_own_window(brief: Host) -> None:
    started = time.monotonic()
    _, err = brief.flux("drain", "gateway-1", "--wait", status=1)
    assert 2.9 < time.monotonic() - started < 4.8
    assert "gateway-1 still holds " in err
    assert "the window is over" in err


def test_a_node_of_an_older_release_does_not_tell_its_window(brief: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = admin_client.get

    def older(host: str, port: int, path: str, timeout: float = 2.0) -> Any:
        info = asked(host, port, path, timeout)
        del info["drain_timeout"]
        return info

    monkeypatch.setattr(admin_client, "get", older)
    monkeypatch.setenv("FLUX_DEPLOYED", str(brief.file))
    result = CliRunner().invoke(cli, ["drain", "gateway-1", "--wait"])
    assert result.exit_code == 0, result.output
    assert "gateway-1 is empty after " in result.stdout
