"""The dashboard as a process: it is ready soon, and stops soon."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.dashboard.conftest import TOKEN
from tests.unit.dashboard.process import Dashboard
from tests.unit.dashboard.world import Members, RedisServer, wait_for


@pytest.fixture
def dashboard(redis_server: RedisServer, members: Members, token_file: Path, tmp_path: Path) -> Iterator[Dashboard]:
    """A running dashboard over one node."""
    members.node("gateway-1")
    started = Dashboard(redis_server.port, tmp_path, "--token-file", str(token_file))
    try:
        wait_for(lambda: started.status("/readyz") == 200, "not ready")
        yield started
    finally:
        started.kill()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_do_not_hold_a_stop_up(sign: int, dashboard: Dashboard) -> None:
    streams = []
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=5)
        connection.request("GET", "/api/events")
        answer = connection.getresponse()
        assert answer.readline() == b"retry: 1000\n"
        streams.append((connection, answer))
    assert dashboard.stop(sign) < 2
    assert dashboard.process.returncode == 0
    for connection, answer in streams:
        answer.close()
        connection.close()
    log = dashboard.log.read_text()
    assert TOKEN not in log
    assert "Traceback" not in log
    assert " ERROR " not in log


def test_pages_are_answered_while_all_streams_are_taken(dashboard: Dashboard) -> None:
    streams = [socket.create_connection(("127.0.0.1", dashboard.port)) for _ in range(28)]
    for stream in streams:
        stream.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for stream in streams:
        assert stream.recv(12) == b"HTTP/1.1 200"
    assert dashboard.status("/api/events") == 503
    assert dashboard.status("/dashboard") == 200
    for stream in streams:
        stream.close()
    # A page that went away is found at the next message, at the latest at the next tick.
    wait_for(lambda: dashboard.status("/api/events") == 200, "streams are not given back", patience=15)


def test_a_taken_port_is_said(dashboard: Dashboard, redis_server: RedisServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flux_gateway", "dashboard", "--port", str(dashboard.port),
         "--redis-port", str(redis_server.port)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert f"port {dashboard.port} on 127.0.0.1 is taken" in done.stderr


def test_wrong_settings_are_said_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "flux.toml"
    file.write_text("[dashboard]\nthreads = 2\ncolour = 'blue'\n")
    done = subprocess.run(
        [sys.executable, "-m", "flux_gateway", "dashboard", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "threads" in done.stderr
    assert "colour: unknown setting" in done.stderr
