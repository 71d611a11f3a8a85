"""A proxy without Redis and nodes: units, ports, answers, restart without a refused client, and the shared address."""

import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host

from tests.hosts.checks import SSH, listening, security_exposure
from tests.hosts.deployed import until

VIP = "10.42.0.210"
MOVE_SECONDS = 15
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: flux\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    """The address on which clients reach this host."""
    return str(host.ansible.get_variables()["ansible_host"])


def ask(address: str, port: int, request: bytes) -> tuple[int, str]:
    """Send one request; return status and body. Raises OSError when the connection is refused or reset."""
    with socket.create_connection((address, port), timeout=20) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def test_the_units_run_and_start_at_boot(host: Host) -> None:
    for unit in ("flux-keeper.service", "flux-proxy.socket", "flux-proxy.service", "keepalived.service"):
        assert host.service(unit).is_running, unit
        assert host.service(unit).is_enabled, unit
    units = "flux-keeper.service flux-proxy.service flux-proxy.socket flux-proxy-failed.service"
    assert host.run(f"systemd-analyze verify {units}").stderr == ""


@pytest.mark.parametrize("unit", ["flux-proxy.service", "flux-keeper.service"])
def test_what_it_may_do_is_narrow(host: Host, unit: str) -> None:
    assert security_exposure(host, unit) <= 2.0


def test_the_keeper_is_reached_by_the_proxy_s_user_alone(host: Host) -> None:
    assert host.check_output("stat -c '%U %a' /run/flux-keeper /run/flux-keeper/keeper.sock") == "flux 700\nflux 600"
    assert host.run("ss --unix --no-header | grep -c /run/flux-keeper/keeper.sock").stdout.strip() == "1"


def test_what_the_keeper_may_use(host: Host) -> None:
    def shown(unit: str, name: str) -> int:
        return int(host.check_output("systemctl show --property %s --value %s", name, unit))

    assert shown("flux-keeper.service", "LimitNOFILE") > shown("flux-proxy.service", "LimitNOFILE")
    # What systemd asks for: in a container the kernel does not grant it.
    assert shown("flux-keeper.service", "OOMScoreAdjust") == -800
    assert shown("flux-keeper.service", "MemoryMax") == 512 * 2**20


def test_nothing_else_listens(host: Host, address: str) -> None:
    assert listening(host) == SSH | {(address, 8080), (VIP, 8080), (address, 8081)}


def test_settings_are_for_the_daemon_only(host: Host) -> None:
    for program in ("proxy", "keeper"):
        settings = host.file(f"/etc/flux/{program}.toml")
        assert (settings.user, settings.group, settings.mode) == ("root", "flux", 0o640)
        check = host.run(f"/opt/flux-gateway/current/bin/flux {program} --check --config /etc/flux/{program}.toml")
        assert (check.rc, check.stdout.strip()) == (0, f"/etc/flux/{program}.toml: ok")


def test_limits_reach_the_process(host: Host) -> None:
    names = "MemoryMax,TasksMax,CPUQuotaPerSecUSec,WatchdogUSec,TimeoutStopUSec"
    shown = host.check_output(f"systemctl show --property {names} flux-proxy.service")
    values = dict(line.split("=") for line in shown.splitlines())
    assert values["TasksMax"] == "64"
    assert values["CPUQuotaPerSecUSec"] == "1.500000s"
    assert values["WatchdogUSec"] == "10s"
    assert values["TimeoutStopUSec"] == "44s"  # with a VIP: 4 s of grace, 30 s of drain and 10 s
    assert values["MemoryMax"].isdigit()


def test_it_answers_without_redis(address: str) -> None:
    status, body = ask(address, 8081, b"GET /readyz HTTP/1.0\r\n\r\n")
    assert status == 503
    assert "Redis" in json.loads(body)["reason"]
    status, _ = ask(address, 8081, b"GET /livez HTTP/1.0\r\n\r\n")
    assert status == 200
    status, _ = ask(address, 8080, HANDSHAKE)
    assert status == 503


def main_pid(host: Host) -> str:
    """The process that serves; "0" for none."""
    return str(host.check_output("systemctl show --property MainPID --value flux-proxy.service"))


def test_a_client_waits_while_it_restarts(host: Host, address: str) -> None:
    before = main_pid(host)
    host.check_output("systemctl --no-block restart flux-proxy.service")
    answers = [ask(address, 8080, HANDSHAKE)[0]]
    deadline = time.monotonic() + 20
    while main_pid(host) in ("0", before) and time.monotonic() < deadline:
        answers.append(ask(address, 8080, HANDSHAKE)[0])
    assert main_pid(host) not in ("0", before)
    assert set(answers) == {503}


def test_a_killed_proxy_is_back_and_nobody_was_refused(host: Host, address: str) -> None:
    before = main_pid(host)
    host.check_output(f"kill -9 {before}")
    assert ask(address, 8080, HANDSHAKE)[0] == 503
    assert main_pid(host) not in ("0", before)


@pytest.fixture
def stand_in(host: Host) -> Iterator[Callable[[], None]]:
    """What makes a host without nodes fit for the shared address: a unit named as the fallback. Call it to end it."""
    host.check_output("systemd-run --quiet --unit=flux-haproxy.service sleep infinity")

    def end() -> None:
        host.run("systemctl stop flux-haproxy.service")

    yield end
    end()


def has_address(host: Host) -> bool:
    """Tell whether the host holds the shared address."""
    return f" {VIP}/" in host.check_output("ip -brief -4 address show")


def test_only_a_host_that_serves_holds_the_address(host: Host, stand_in: Callable[[], None]) -> None:
    until(lambda: has_address(host), "it takes the address", MOVE_SECONDS)
    assert ask(VIP, 8080, HANDSHAKE)[0] == 503, "it is the proxy that answers there"
    stand_in()
    until(lambda: not has_address(host), "it gives the address up", MOVE_SECONDS)
