"""Faults on a running cluster: what breaks, what clients see, and that it comes back."""

import json
import time
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from tests.cluster import FluxCluster


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until the condition holds; return how long it took. Fails the test after `seconds`."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            pytest.fail(f"after {seconds:g} s still not: {what}")
        time.sleep(0.05)
    return time.monotonic() - started


@pytest.mark.parametrize("kind", ["drain", "kill", "hang"])
def test_a_drill_of_a_node_holds_its_invariants(cluster: FluxCluster, kind: str) -> None:
    result = cluster.json("drill", kind, "gateway-2", "--seconds", "5", "--clients", "60")
    assert result["ok"], result
    _, fault, back = result["phases"]
    assert fault["load"]["counts"]["received"] > 500
    assert fault["newcomers"]["served"] > 30
    assert fault["routed_around"] <= {"drain": 1.0, "kill": 1.0, "hang": 4.0}[kind]
    assert fault["load"]["counts"]["disconnects"] == back["load"]["counts"]["disconnects"] == {}
    assert fault["moves"]["moved" if kind == "drain" else "reattached"] > 5
    assert fault["moves"]["failed"] == 0
    if kind == "drain":
        assert fault["load"]["counts"]["lost"] == 0
    if kind == "hang":
        assert 1 < fault["load"]["longest_silence"] < 4
    wait_until(lambda: cluster.states()["gateway-2"] == "UP", 20, "gateway-2 UP")


@pytest.mark.parametrize(
    ("what", "titles"),
    [
        (["restart", "proxy-1"], ["restart proxy-1"]),
        (["kill", "proxy-1"], ["kill -9 proxy-1"]),
        (["kill", "keeper-1"], ["kill -9 keeper-1"]),
        (["rolling-restart"], ["restart every gateway", "restart every proxy"]),
        (["scale"], ["scale to 4, rebalance", "scale back to 3"]),
    ],
)
def test_a_drill_that_runs_to_its_end_holds_its_invariants(
    cluster: FluxCluster, what: list[str], titles: list[str]
) -> None:
    result = cluster.json("drill", *what, "--seconds", "1", "--clients", "60")
    assert result["ok"], result
    assert [phase["title"] for phase in result["phases"]] == ["peace", *titles]
    for phase in result["phases"]:
        assert phase["load"]["counts"]["disconnects"] == {}
        assert phase["load"]["counts"]["lost"] == 0
        assert phase["moves"]["failed"] == 0
    assert set(cluster.states()) == {"gateway-1", "gateway-2", "gateway-3"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scale", "proxy-1"], "give no PROCESS"),
        (["kill"], "which PROCESS?"),
        (["hang", "proxy-1"], "hang is for gateways"),
        (["restart", "nobody"], "there is no process 'nobody'"),
    ],
)
def test_a_drill_that_makes_no_sense_is_refused(cluster: FluxCluster, arguments: list[str], said: str) -> None:
    done = cluster.flux("drill", *arguments, check=False)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_killed_node_is_dead_in_the_registry_and_recovers(cluster: FluxCluster) -> None:
    cluster.flux("kill", "gateway-3", "--hold", "60")
    wait_until(lambda: cluster.states()["gateway-3"] == "DEAD", 20, "gateway-3 DEAD")
    with connect(f"{cluster.url}/echo") as socket:
        socket.send("still here")
        assert socket.recv(timeout=5) == "still here"
    cluster.flux("restart", "gateway-3")
    wait_until(lambda: cluster.states()["gateway-3"] == "UP", 20, "gateway-3 UP")


def test_a_crashed_process_is_restarted_by_the_supervisor(cluster: FluxCluster) -> None:
    cluster.flux("kill", "dashboard")
    log = cluster.state_dir / "logs" / "supervisor.log"
    wait_until(lambda: "process ended by itself, restarting name=dashboard" in log.read_text(), 10, "the log says so")
    wait_until(lambda: cluster.flux("verify", check=False).returncode == 0, 20, "the dashboard answers again")


def test_a_killed_redis_costs_no_client_its_connection(cluster: FluxCluster) -> None:
    with connect(f"{cluster.url}/echo") as socket:
        cluster.flux("kill", "redis", "--hold", "20")
        for number in range(40):
            socket.send(f"{number}")
            assert socket.recv(timeout=5) == f"{number}"
            if number % 5 == 0:  # new clients are routed by the last membership
                with connect(f"{cluster.url}/echo?session=new-{number}") as fresh:
                    fresh.send("hello")
                    assert fresh.recv(timeout=5) == "hello"
            time.sleep(0.5)
        wait_until(lambda: cluster.flux("verify", check=False).returncode == 0, 30, "everything verified again")
        socket.send("after")
        assert socket.recv(timeout=5) == "after"


def test_a_redis_that_comes_back_empty_is_filled_again(cluster: FluxCluster) -> None:
    with connect(f"{cluster.url}/echo") as socket:
        cluster.flux("redis", "FLUSHALL")
        wait_until(lambda: set(cluster.states().values()) == {"UP"} and len(cluster.states()) == 3, 10, "3 nodes UP")
        socket.send("after")
        assert socket.recv(timeout=5) == "after"


def test_scaling_adds_and_removes_nodes(cluster: FluxCluster) -> None:
    cluster.flux("scale", "4")
    assert cluster.states()["gateway-4"] == "UP"
    cluster.flux("scale", "3")
    wait_until(lambda: cluster.states()["gateway-4"] == "STOPPED", 10, "gateway-4 STOPPED")
    cluster.flux("forget", "gateway-4")
    assert "gateway-4" not in cluster.states()


def test_a_client_of_a_proxy_that_restarts_notices_nothing(cluster: FluxCluster) -> None:
    with connect(f"{cluster.url}/whoami") as socket:
        socket.send("?")
        before = json.loads(socket.recv(timeout=5))
        cluster.flux("restart", "proxy-1")
        socket.send("?")
        assert json.loads(socket.recv(timeout=5)) == before
    assert cluster.flux("verify", check=False).returncode == 0
