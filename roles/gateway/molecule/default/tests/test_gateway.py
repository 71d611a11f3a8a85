"""Two nodes on one host: their units, limits and ports, and that they speak the protocol."""

import re
import time
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.hosts.checks import SSH, address_of, journal, listening, security_exposure, unit_property

NODES = [("gateway-1", 7000), ("gateway-2", 7001)]


def unit(node: str) -> str:
    return f"flux-gateway@{node}.service"


@pytest.mark.parametrize(("node", "port"), NODES)
def test_a_node_speaks_websocket(host: Any, node: str, port: int) -> None:
    with connect(f"ws://{address_of(host)}:{port}/echo", compression=None) as client:
        client.send("through systemd")
        assert client.recv(timeout=5) == "through systemd"
        assert client.response is not None
        assert client.response.headers["X-Flux-Node"] == node


def test_nothing_listens_wider_than_it_must(host: Any) -> None:
    address = address_of(host)
    assert listening(host) == SSH | {(address, port) for port in (7000, 7001, 7100, 7101)}


@pytest.mark.parametrize(("node", "port"), NODES)
def test_the_unit_is_hardened(host: Any, node: str, port: int) -> None:
    assert security_exposure(host, unit(node)) <= 2.0


def test_the_unit_has_its_limits(host: Any) -> None:
    names = ("MemoryMax", "MemoryHigh", "TasksMax", "CPUQuotaPerSecUSec", "TimeoutStopUSec", "WatchdogUSec", "Restart")
    assert {name: unit_property(host, unit("gateway-1"), name) for name in names} == {
        "MemoryMax": str(2**30), "MemoryHigh": str(900 * 2**20), "TasksMax": "64", "CPUQuotaPerSecUSec": "1s",
        "TimeoutStopUSec": "15s", "WatchdogUSec": "20s", "Restart": "always",
    }  # fmt: skip


def test_the_journal_has_fields(host: Any) -> None:
    with connect(f"ws://{address_of(host)}:7000/echo", compression=None) as client:
        assert client.response is not None
        session = client.response.headers["X-Flux-Session"]
    deadline = time.monotonic() + 5
    while len(lines := journal(host, "FLUX_NODE=gateway-1", f"FLUX_SESSION={session}")) < 2:
        assert time.monotonic() < deadline, lines
        time.sleep(0.1)
    assert [re.split(r"[ =]", line)[:2] for line in lines] == [["session", "opened"], ["session", "ended"]]


def test_secrets_are_for_the_daemons_alone(host: Any) -> None:
    for name in ("token", "redis-password", "messaging-secret", "api-key", "gateway-1.toml", "flux.toml"):
        file = host.file(f"/etc/flux/{name}")
        assert (file.user, file.group, file.mode) == ("root", "flux", 0o640)
    assert host.file("/etc/flux").mode == 0o750
    said = host.check_output("journalctl --no-pager -q -u 'flux-*'")
    assert not any(f"{kind}-of-the-tests" in said for kind in ("token", "secret", "key"))


def test_a_stalled_event_loop_is_found_by_the_watchdog(host: Any) -> None:
    before = unit_property(host, unit("gateway-2"), "MainPID")
    host.check_output("kill -STOP %s", before)
    deadline = time.monotonic() + 45
    while unit_property(host, unit("gateway-2"), "MainPID") in (before, "0"):
        assert time.monotonic() < deadline, "systemd has not started it again"
        time.sleep(0.5)
    assert journal(host, "_PID=1", f"UNIT={unit('gateway-2')}", "UNIT_RESULT=watchdog")
    _until_serving(host, 7001)


def test_a_node_over_its_memory_is_killed_and_restarted_alone(host: Any) -> None:
    address = address_of(host)
    other = unit_property(host, unit("gateway-2"), "MainPID")
    before = unit_property(host, unit("gateway-1"), "MainPID")
    host.check_output("systemctl set-property --runtime %s MemoryHigh=infinity MemoryMax=80M", unit("gateway-1"))
    greedy: list[ClientConnection] = []
    try:
        with connect(f"ws://{address}:7001/echo", compression=None) as witness:
            slowest = 0.0
            deadline = time.monotonic() + 30
            while unit_property(host, unit("gateway-1"), "MainPID") == before:
                assert time.monotonic() < deadline, "the limit does not bite"
                greedy += _unfinished(f"ws://{address}:7000/echo", 20)
                slowest = max(slowest, _round_trip(witness))
            slowest = max(slowest, *(_round_trip(witness) for _ in range(20)))
        assert slowest < 1.0
    finally:
        host.check_output("systemctl set-property --runtime %s MemoryHigh=900M MemoryMax=1G", unit("gateway-1"))
        for client in greedy:
            client.close_socket()
    # With cgroup v1 systemd is not told why the kernel killed it.
    causes = ("oom-kill", "signal")
    assert any(journal(host, "_PID=1", f"UNIT={unit('gateway-1')}", f"UNIT_RESULT={why}") for why in causes)
    assert unit_property(host, unit("gateway-2"), "MainPID") == other
    _until_serving(host, 7000)


def _unfinished(url: str, count: int) -> list[ClientConnection]:
    """Open connections that each send most of a large message: the node has to keep it until the rest comes."""
    clients = []
    for _ in range(count):
        try:
            client = connect(url, compression=None, open_timeout=3, ping_interval=None)
            clients.append(client)
            client.socket.settimeout(3)
            client.socket.sendall(b"\x02\xff" + (900_000).to_bytes(8, "big") + bytes(4) + bytes(800_000))
        except (OSError, TimeoutError, WebSocketException):
            break
    return clients


def _round_trip(client: ClientConnection) -> float:
    started = time.monotonic()
    client.send("x")
    client.recv(timeout=5)
    return time.monotonic() - started


def _until_serving(host: Any, port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with connect(f"ws://{address_of(host)}:{port}/echo", compression=None) as client:
                assert _round_trip(client) < 1
                return
        except OSError:
            assert time.monotonic() < deadline, "it does not serve again"
            time.sleep(0.2)


def test_a_stop_drains(host: Any) -> None:
    with connect(f"ws://{address_of(host)}:7000/echo", compression=None) as client:
        host.check_output("systemctl stop --no-block %s", unit("gateway-1"))
        with pytest.raises(Exception, match="1012"):
            client.recv(timeout=10)
    deadline = time.monotonic() + 10
    while unit_property(host, unit("gateway-1"), "ActiveState") != "inactive":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert unit_property(host, unit("gateway-1"), "Result") == "success"
    host.check_output("systemctl start %s", unit("gateway-1"))
