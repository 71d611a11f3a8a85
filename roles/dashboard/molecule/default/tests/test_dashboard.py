"""A dashboard without Redis: unit, port, page, health, and that it ends quickly."""

import time
import urllib.error
import urllib.request

import pytest
from testinfra.host import Host

from tests.hosts.checks import SSH, listening, security_exposure


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    """The address on which others reach this host."""
    return str(host.ansible.get_variables()["ansible_host"])


def get(address: str, path: str) -> tuple[int, str]:
    """Return status and body of a page."""
    try:
        with urllib.request.urlopen(f"http://{address}:9090{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_unit_runs_and_starts_at_boot(host: Host) -> None:
    assert host.service("flux-dashboard.service").is_running
    assert host.service("flux-dashboard.service").is_enabled
    assert host.run("systemd-analyze verify flux-dashboard.service").stderr == ""


def test_what_it_may_do_is_narrow(host: Host) -> None:
    assert security_exposure(host, "flux-dashboard.service") <= 2.0


def test_nothing_else_listens(host: Host, address: str) -> None:
    assert listening(host) == SSH | {(address, 9090)}


def test_settings_are_for_the_daemon_only(host: Host) -> None:
    settings = host.file("/etc/flux/dashboard.toml")
    assert (settings.user, settings.group, settings.mode) == ("root", "flux", 0o640)
    check = host.run("/opt/flux-gateway/current/bin/flux dashboard --check --config /etc/flux/dashboard.toml")
    assert (check.rc, check.stdout.strip()) == (0, "/etc/flux/dashboard.toml: ok")


def test_it_serves_its_pages_without_redis(address: str) -> None:
    status, page = get(address, "/dashboard")
    assert status == 200
    assert "<title>" in page
    assert get(address, "/livez")[0] == 200
    status, body = get(address, "/readyz")
    assert status == 503
    assert "Redis does not answer" in body


def test_it_stops_within_two_seconds_and_comes_back_when_killed(host: Host, address: str) -> None:
    began = time.monotonic()
    host.check_output("systemctl restart flux-dashboard.service")
    assert time.monotonic() - began < 10
    assert get(address, "/dashboard")[0] == 200
    host.check_output("systemctl kill --signal=KILL flux-dashboard.service")
    deadline = time.monotonic() + 20
    while host.run("systemctl is-active --quiet flux-dashboard.service").rc and time.monotonic() < deadline:
        time.sleep(0.2)
    assert get(address, "/dashboard")[0] == 200
