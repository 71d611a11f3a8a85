"""Faults on a running cluster: what breaks, what clients see, and that it comes back."""

import time
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed
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
def test_a_drill_holds_its_invariants(cluster: FluxCluster, kind: str) -> None:
    result = cluster.json("drill", kind, "gateway-2", "--seconds", "4", "--clients", "60")
    assert result["ok"], result
    _, fault, _ = result["phases"]
    assert fault["load"]["counts"]["received"] > 500
    assert fault["newcomers"]["served"] > 30
    assert fault["routed_around"] <= {"drain": 1.0, "kill": 1.0, "hang": 4.0}[kind]
    closed = fault["load"]["counts"]["disconnects"]
    assert closed.keys() <= {"1012"}
    assert bool(closed) is (kind != "hang")
    wait_until(lambda: cluster.states()["gateway-2"] == "UP", 20, "gateway-2 UP")


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


def test_a_stopped_proxy_closes_its_clients_properly(cluster: FluxCluster) -> None:
    with connect(f"{cluster.url}/echo") as socket:
        cluster.flux("restart", "proxy-1")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert cluster.flux("verify", check=False).returncode == 0
