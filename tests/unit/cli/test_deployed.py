"""The commands on a host of a deployed cluster, against real daemons."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flux_gateway.cli.client_settings import ClientSettings
from flux_gateway.cli.deployed import DeployedCluster, unit_of
from flux_gateway.core.errors import CommandError, ConfigError
from tests.processes import until
from tests.unit.cli.conftest import REPOSITORY, Host


def test_status_shows_the_members_and_which_cluster_it_is(host: Host) -> None:
    found = host.json("status")
    assert [(node["id"], node["state"]) for node in found["nodes"]] == [("gateway-1", "UP"), ("gateway-2", "UP")]
    assert [proxy["id"] for proxy in found["proxies"]] == ["proxy-1"]
    out, _ = host.flux("status")
    assert out.splitlines()[0] == f"deployed cluster, {host.stack.proxies[0].url}, found in {host.file}"


def test_stat_and_top_find_the_members_through_the_registry(host: Host) -> None:
    for member in ("gateway-2", "proxy-1"):
        assert len(host.flux("stat", member, "20", "2")[0].splitlines()) == 3
    assert "task announcer" in host.flux("stat", "gateway-1", "--dump")[0]
    assert "gateway-2" in host.flux("top", "--once")[0]


def test_verify_passes_with_and_finds_fault_without_its_dashboard(host: Host) -> None:
    assert [result["ok"] for result in host.json("verify")] == [True] * 6
    host.write(client='dashboard_url = "http://127.0.0.1:1/dashboard"')
    out, _ = host.flux("verify", status=1)
    assert out.count("FAILED") == 1


def test_load_finds_the_cluster_by_itself(host: Host) -> None:
    arguments = ("--clients", "5", "--rate", "20", "--duration", "1", "--newcomers", "10", "--expect", "none")
    result = host.json("load", *arguments, "--return-within", "2")
    assert (result["ok"], result["broken"]) == (True, [])
    assert result["plan"]["url"] == f"{host.stack.proxies[0].url}/echo"
    assert result["newcomers"]["served"] >= 8
    assert result["newcomers"]["nodes"].keys() <= {"gateway-1", "gateway-2"}


def test_a_node_that_is_up_is_not_forgotten(host: Host) -> None:
    assert "STOPPED or DEAD" in host.flux("forget", "gateway-1", status=1)[1]
    assert "there are gateway-1, gateway-2, proxy-1" in host.flux("forget", "gateway-9", status=1)[1]


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (["up"], "ansible-playbook site.yml"),
        (["down"], "systemctl stop flux-gateway@gateway-1"),
        (["kill", "proxy-1"], "systemctl kill -s KILL flux-proxy on"),
        (["restart", "gateway-2"], "systemctl restart flux-gateway@gateway-2"),
        (["scale", "4"], "playbooks/scale_out.yml"),
        (["logs", "gateway-2"], "journalctl FLUX_NODE=gateway-2 -f"),
        (["logs", "dashboard"], "journalctl -u flux-dashboard -f"),
        (["drill", "hang", "gateway-1"], "playbooks/drills/hang.yml"),
        (["demo"], "playbooks/drills/kill.yml"),
        (["supervisor"], "systemd runs the daemons"),
    ],
)
def test_what_needs_a_supervisor_says_what_to_do_instead(host: Host, command: list[str], instead: str) -> None:
    out, err = host.flux(*command, status=1)
    assert out == ""
    assert len(err.splitlines()) == 1
    assert instead in err
    assert str(host.file) in err


def test_a_change_without_the_token_says_so(host: Host) -> None:
    host.file.write_text(host.file.read_text().replace("token_file", "#"))
    assert "names no token_file" in host.flux("undrain", "gateway-1", status=1)[1]


def test_every_fault_of_both_sections_is_told_at_once(host: Host) -> None:
    host.file.write_text('[client]\nurl = ""\nurk = 1\n[redis]\nport = 0\n')
    out, err = host.flux("status", status=2)
    assert out == ""
    assert [line.split(":")[2].split(" ")[1] for line in err.splitlines()] == ["[client]", "[client]", "[redis]"]
    assert host.flux("--deployed", "nowhere.toml", "status", status=2)[1].count("No such file") == 1


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"url": "http://10.0.0.1"}, "not a WebSocket URL"),
        ({"url": "ws://10.0.0.1/echo"}, "without a path"),
        ({"url": "ws://10.0.0.1", "dashboard_url": "10.0.0.2:9090"}, "dashboard_url: 10.0.0.2:9090"),
    ],
)
def test_addresses_that_cannot_be_used_are_faults(values: dict[str, str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ClientSettings(**values)


def test_a_slash_at_the_end_of_the_url_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "flux.toml"
    file.write_text('[client]\nurl = "ws://10.0.0.1:8080/"\n')
    assert DeployedCluster(file).url == "ws://10.0.0.1:8080"


def test_a_file_this_user_may_not_read_says_how_to_be_let_in(host: Host) -> None:
    closed = host.folder / "etc"
    closed.mkdir()
    file = host.file.rename(closed / "flux.toml")
    closed.chmod(0)
    try:
        if os.geteuid():
            with pytest.raises(CommandError, match=r"group flux.*or use sudo"):
                DeployedCluster(file)
            return
        # Nothing is closed to root. The user nobody may not even read the interpreter, so it becomes nobody inside.
        script = (
            "import os, sys; from flux_gateway.cli import main, selection, status\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"main.cli.main(['--deployed', {str(file)!r}, 'status'], standalone_mode=False)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        assert done.returncode == 1
        assert "CommandError" in done.stderr.splitlines()[-1]
        assert "add yourself to the group flux" in done.stderr.splitlines()[-1]
        assert "or use sudo" in done.stderr.splitlines()[-1]
    finally:
        closed.chmod(0o700)


def test_a_redis_that_is_away_is_one_line(host: Host) -> None:
    host.file.write_text(host.file.read_text().replace("port = 6379", "port = 1"))
    _, err = host.flux("status", status=1)
    assert err.startswith("flux: Redis does not answer: ")
    assert len(err.splitlines()) == 1


def test_units_of_processes() -> None:
    names = ("gateway-3", "proxy-1", "dashboard", "redis")
    assert [unit_of(name) for name in names] == [
        "flux-gateway@gateway-3", "flux-proxy", "flux-dashboard", "redis-server",
    ]  # fmt: skip


def test_drained_and_undrained(host: Host) -> None:
    assert "gateway-1 is DRAINING" in host.flux("drain", "gateway-1")[0]
    try:
        until(lambda: host.stack.nodes[0].info()["state"] == "DRAINING", "gateway-1 drains")
    finally:
        assert host.flux("undrain", "gateway-1")[0] == "gateway-1 is UP\n"


def test_a_missing_required_setting_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "flux.toml"
    file.write_text("[redis]\n")
    with pytest.raises(ConfigError, match="url: required"):
        DeployedCluster(file)
