"""Starting and stopping: nothing is left running, and what is already running is left alone."""

import json
import os
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.cluster import FluxCluster, start


def pids(cluster: FluxCluster) -> list[int]:
    """Return the pids of everything the supervisor runs."""
    return [pid for pid, _ in json.loads((cluster.state_dir / "processes.json").read_text())]


@pytest.fixture
def small(tmp_path: Path) -> FluxCluster:
    """A cluster of one gateway and two proxies, that the test stops itself."""
    return start(tmp_path / "s", "--gateways", "1", "--proxies", "2", network=52)


def test_down_leaves_nothing_running_and_purge_leaves_no_file(small: FluxCluster) -> None:
    running = pids(small)
    assert len(running) == 7  # Redis, a gateway, two proxies with their keepers, the dashboard
    again = small.flux("up", "--network", "52")
    assert "running already" in again.stderr
    assert pids(small) == running
    assert len(small.json("status")["proxies"]) == 2
    assert small.flux("verify").returncode == 0
    assert oct((small.state_dir / "token").stat().st_mode & 0o777) == "0o600"
    small.flux("down", "--purge")
    assert not any(psutil.pid_exists(pid) for pid in running)
    assert not small.state_dir.exists()
    assert "Nothing was running" in small.flux("down").stdout
    missing = small.flux("status", check=False)
    assert missing.returncode == 1
    assert "flux up" in missing.stderr


def test_down_closes_clients_as_a_restart_does(small: FluxCluster) -> None:
    with connect(f"{small.url}/echo") as one, connect(f"{small.url}/echo") as other:
        small.flux("down")
        for socket in (one, other):
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012


def test_down_finds_what_a_killed_supervisor_has_left(small: FluxCluster) -> None:
    running = pids(small)
    supervisor = psutil.Process(running[0]).ppid()
    assert supervisor != os.getpid()
    psutil.Process(supervisor).kill()
    assert "stopped 7 processes" in small.flux("down").stdout
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in running)
