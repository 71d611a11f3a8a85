"""The command line against a running cluster: what a user types, and what comes back."""

import json
import re
import socket
import subprocess

import pytest

from tests.cluster import FluxCluster

NODES = ["gateway-1", "gateway-2", "gateway-3"]


def test_status_shows_every_node_up(cluster: FluxCluster) -> None:
    nodes = cluster.json("status")["nodes"]
    assert [node["id"] for node in nodes] == NODES
    assert {node["state"] for node in nodes} == {"UP"}
    assert list(nodes[0]) == ["id", "state", "host", "port", "connections", "heartbeat_age", "rss", "cpu", "version"]
    assert nodes[0]["heartbeat_age"] < 3
    assert cluster.json("status")["proxies"][0]["links"] == dict.fromkeys(NODES, "up")


def test_verify_passes(cluster: FluxCluster) -> None:
    results = cluster.json("verify")
    assert [result["ok"] for result in results] == [True] * 6


def test_a_node_that_does_not_exist_is_answered_with_those_that_do(cluster: FluxCluster) -> None:
    for command in (["drain", "gateway-9"], ["stat", "gateway-9"], ["drill", "hang", "gateway-9"], ["kill", "nobody"]):
        done = cluster.flux(*command, check=False)
        assert done.returncode == 1
        assert "gateway-1, gateway-2, gateway-3" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_node_that_is_up_cannot_be_forgotten(cluster: FluxCluster) -> None:
    done = cluster.flux("forget", "gateway-1", check=False)
    assert done.returncode == 1
    assert "STOPPED or DEAD" in done.stderr


def test_stat_prints_a_line_per_interval(cluster: FluxCluster) -> None:
    lines = cluster.flux("stat", "gateway-1", "100", "3").stdout.splitlines()
    assert lines[0].split()[:2] == ["gen0", "coll0"]
    assert len(lines) == 4
    assert all(re.fullmatch(r"[\d.\s]+", line) for line in lines[1:])


def test_stat_dump_shows_threads_and_tasks(cluster: FluxCluster) -> None:
    dump = cluster.flux("stat", "gateway-1", "--dump").stdout
    assert "task announcer" in dump
    assert "thread " in dump


def test_redis_passes_arguments_through(cluster: FluxCluster) -> None:
    record = json.loads(cluster.flux("redis", "HGET", "gateway:nodes", "gateway-2").stdout)
    assert record["state"] == "UP"
    assert record["host"] == "127.50.1.2"
    assert {"id", "host", "port", "admin_port", "state", "weight", "version", "connections", "started_at",
            "heartbeat_at"} <= set(record)
    assert int(cluster.flux("redis", "PTTL", "gateway:heartbeat:gateway-2").stdout) > 0


def test_no_secret_is_on_any_command_line(cluster: FluxCluster) -> None:
    secrets = [(cluster.state_dir / name).read_text().strip() for name in ("token", "redis-password")]
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    logs = "".join(file.read_text() for file in (cluster.state_dir / "logs").glob("*.log"))
    for secret in secrets:
        assert secret not in listed
        assert secret not in logs


def test_load_finds_the_cluster_by_itself(cluster: FluxCluster) -> None:
    result = cluster.json("load", "--clients", "5", "--duration", "1", "--newcomers", "10")
    assert (result["ok"], result["plan"]["url"]) == (True, f"{cluster.url}/echo")
    assert result["newcomers"]["served"] >= 8


def test_drain_waits_for_the_last_session(cluster: FluxCluster) -> None:
    assert "gateway-1 is empty after" in cluster.flux("drain", "gateway-1", "--seconds", "1", "--wait").stdout
    assert cluster.flux("undrain", "gateway-1").stdout == "gateway-1 is UP\n"


def test_top_shows_one_view(cluster: FluxCluster) -> None:
    view = cluster.flux("top", "--once").stdout
    assert "gateway-3" in view
    assert "proxy-1" in view


def test_a_taken_port_is_named_with_its_process(cluster: FluxCluster, tmp_path: object) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cluster.flux(
            "--state-dir", f"{tmp_path}/s", "up", "--network", "51", "--port", str(port), "--dashboard-port",
            str(cluster.dashboard_port), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is taken by pid" in done.stderr
    assert f"port {cluster.dashboard_port} on 127.0.0.1 is taken by pid" in done.stderr


def test_wrong_settings_are_all_reported_at_once(cluster: FluxCluster, tmp_path: object) -> None:
    done = cluster.flux(
        "--state-dir", f"{tmp_path}/s", "up", "--gateways", "0", "--port", "99999", "--drain-timeout", "x", check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 3
    for flag in ("--gateways", "--port", "--drain-timeout"):
        assert flag in done.stderr


@pytest.mark.parametrize("command", ["up", "down", "status", "verify", "demo", "drain", "undrain", "kill", "restart",
                                     "rolling-restart", "scale", "rebalance", "forget", "logs", "stat", "top", "load",
                                     "redis", "drill", "gateway", "proxy", "keeper", "dashboard",
                                     "supervisor"])  # fmt: skip
def test_every_command_has_an_example_in_its_help(cluster: FluxCluster, command: str) -> None:
    text = cluster.flux(command, "--help").stdout
    assert "Example:" in text
    assert f"flux {command}" in text or f"flux --state-dir .flux {command}" in text
