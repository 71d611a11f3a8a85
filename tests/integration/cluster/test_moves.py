"""Sessions move (issue 4): whatever happens behind the proxies, clients that talk keep their connections."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster import FluxCluster, start
from tests.integration.cluster.talking import Talking, needs_root
from tests.processes import until

NODES = ["gateway-1", "gateway-2", "gateway-3"]

SILENCE = 3.5
"""Seconds until a silent node's sessions are elsewhere: 2.9 without a word, and the move itself."""

FEW = 2
"""Sessions that the slow rebalance, or a frame that was cut, may take out of a count."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FluxCluster]:
    """Three gateways behind one proxy with its keeper."""
    folder = tmp_path_factory.mktemp("moves") / "s"
    made = start(folder, "--heartbeat-interval", "1", "--drain-timeout", "10", network=56)
    yield made
    made.flux("down", "--drain", "1", "--purge")


def up(cluster: FluxCluster) -> None:
    """Wait until every node is UP and the proxy sends clients there: the next test begins with a whole cluster."""
    until(lambda: cluster.states() == dict.fromkeys(NODES, "UP"), "every node UP", 20)
    until(lambda: cluster.flux("verify", check=False).returncode == 0, "everything verified", 20)


def pid(talking: Talking, name: str) -> int | None:
    return {one.name: one.pid for one in talking.here.ask("status").processes}[name]


def test_a_drained_node_gives_its_sessions_away(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        had = talking.sessions("gateway-1")
        assert had > 10
        assert "gateway-1 is empty after" in cluster.flux("drain", "gateway-1", "--wait").stdout
        assert had - FEW <= talking.moves()["move"] <= had + FEW
        assert talking.moves()["reattach"] == talking.moves()["failed"] == 0
        assert sum(talking.on_all().values()) == talking.clients
        cluster.flux("undrain", "gateway-1")
    up(cluster)


def test_a_stopping_node_gives_its_sessions_away_and_does_not_wait_for_its_window(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        started = time.monotonic()
        cluster.flux("restart", "gateway-2")
        assert time.monotonic() - started < 8  # of the 10 seconds that it might have taken
        talking.each_exactly_once()
    up(cluster)


def test_every_process_is_restarted_one_after_another(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        lines = cluster.flux("rolling-restart", "--proxies").stdout.splitlines()
        assert [line.split()[0] for line in lines] == [*NODES, "proxy-1", "restarted"]
        assert f"{talking.clients} clients before, {talking.clients} after" in lines[3]
        talking.each_exactly_once()
    up(cluster)


def test_sessions_move_to_a_node_that_joins_and_away_from_one_that_goes(cluster: FluxCluster) -> None:
    with Talking(cluster, 200) as talking:
        cluster.flux("scale", "4")
        cluster.flux("rebalance", "--now")
        on_all = talking.on_all()
        assert sum(on_all.values()) == 200
        assert on_all["gateway-4"] >= 30
        assert max(on_all.values()) <= 1.25 * 200 / 4
        cluster.flux("scale", "3")
        assert talking.moves()["failed"] == 0
        talking.each_exactly_once()
    cluster.flux("forget", "gateway-4")
    up(cluster)


def test_the_sessions_of_a_killed_node_go_on_elsewhere(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        had = talking.sessions("gateway-2")
        assert had > 10
        talking.may_lose("gateway-2", 0.5)
        before = pid(talking, "gateway-2")
        cluster.flux("kill", "gateway-2", "--hold", "3")
        until(lambda: talking.moves()["reattach"] >= had - FEW, "all of them reattached")
        # The registry still calls it UP for a while: its next process must be there before it can be asked.
        until(lambda: pid(talking, "gateway-2") not in (None, before), "another process", 20)
        until(lambda: cluster.flux("verify", check=False).returncode == 0, "it serves again", 20)
        talking.each_exactly_once()
    up(cluster)


@pytest.mark.parametrize("fault", ["hang", pytest.param("partition", marks=needs_root)])
def test_the_sessions_of_a_silent_node_go_on_elsewhere_and_it_keeps_no_double(
    cluster: FluxCluster, fault: str
) -> None:
    with Talking(cluster) as talking:
        node = max(NODES, key=talking.sessions)
        had = talking.sessions(node)
        talking.may_lose(node, SILENCE)
        started = time.monotonic()
        talking.here.ask(fault, name=node, seconds=30)
        try:
            until(lambda: talking.moves()["reattach"] >= had - FEW, "all of them reattached")
            assert time.monotonic() - started < SILENCE
        finally:
            talking.here.ask("heal", name=node)
        # It wakes up with all of them, and is told that they are overtaken.
        talking.each_exactly_once()
        assert talking.moves()["failed"] == 0
    up(cluster)


def test_a_proxy_that_restarts_keeps_every_client(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        before = pid(talking, "proxy-1")
        cluster.flux("restart", "proxy-1")
        assert pid(talking, "proxy-1") != before
        talking.proxy_restarted()
        talking.each_exactly_once()
        assert talking.moves()["failed"] == 0
        time.sleep(1)  # they talk through the new process
    up(cluster)


def test_a_proxy_that_is_killed_keeps_its_clients(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        talking.closed = 1  # of a hundred: what the dead process had read and not passed on cannot be known
        before = pid(talking, "proxy-1")
        cluster.flux("kill", "proxy-1")
        until(lambda: pid(talking, "proxy-1") not in (None, before), "another process")
        talking.proxy_restarted()
        until(lambda: cluster.flux("verify", check=False).returncode == 0, "it serves again", 20)
        # Where their frames begin is learnt anew: each moves to the node it is on.
        until(lambda: talking.moves()["move"] >= talking.clients - 1, "every stream fresh")
        talking.each_exactly_once()
    up(cluster)


def test_a_keeper_that_is_killed_is_filled_again(cluster: FluxCluster) -> None:
    with Talking(cluster) as talking:
        before = pid(talking, "keeper-1")
        log = cluster.state_dir / "logs" / "proxy-1.log"
        told = log.read_text().count("deposited again")
        cluster.flux("kill", "keeper-1")
        until(lambda: log.read_text().count("deposited again") > told, "everything deposited again")
        assert pid(talking, "keeper-1") != before
        # What it has been given is whole: the next process of the proxy lives on it.
        cluster.flux("restart", "proxy-1")
        talking.each_exactly_once()
        time.sleep(1)
    up(cluster)
