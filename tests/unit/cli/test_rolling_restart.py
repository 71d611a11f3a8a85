"""`flux rolling-restart` against a real cluster of this machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_gateway.cli.gate import objection
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.restart import find
from flux_gateway.cli.rolling_restart import _Moves
from tests.cluster import FluxCluster, start
from tests.processes import until
from tests.unit.cli.conftest import Host


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FluxCluster]:
    """Two gateways and two proxies."""
    folder = tmp_path_factory.mktemp("cluster") / "s"
    made = start(folder, "--gateways", "2", "--proxies", "2", "--drain-timeout", "1", network=54)
    yield made
    made.flux("down")


NAMES = ["gateway-1", "gateway-2", "proxy-1", "proxy-2"]


def pids(cluster: FluxCluster) -> dict[str, int | None]:
    return {one.name: one.pid for one in LocalCluster(cluster.state_dir).ask("status").processes}


def test_every_gateway_is_another_process_afterwards_and_every_one_is_up(cluster: FluxCluster) -> None:
    before = pids(cluster)
    lines = cluster.flux("rolling-restart").stdout.splitlines()
    after = pids(cluster)
    assert [name for name in before if before[name] != after[name]] == ["gateway-1", "gateway-2"]
    assert set(cluster.states().values()) == {"UP"}
    shape = r"(gateway-\d) is UP again after [\d.]+ s, pid (\d+) -> (\d+): \d+ sessions moved, \d+ failed"
    told = [re.fullmatch(shape, line) for line in lines[:2]]
    assert [one and (one[1], int(one[2]), int(one[3])) for one in told] == [
        (name, before[name], after[name]) for name in ("gateway-1", "gateway-2")
    ]
    assert re.fullmatch(r"restarted 2 processes in [\d.]+ s", lines[2])


def test_with_proxies_they_go_after_the_gateways_one_after_another(cluster: FluxCluster) -> None:
    before = pids(cluster)
    done = cluster.flux("rolling-restart", "--proxies")
    after = pids(cluster)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*NAMES, "restarted"]
    assert [name for name in before if before[name] != after[name]] == NAMES
    assert "0 clients before, 0 after" in done.stdout.splitlines()[2]
    here = LocalCluster(cluster.state_dir)
    assert [objection(here, find(here, name)) for name in NAMES] == [""] * 4


def test_it_stops_at_the_first_gate_that_fails_and_says_what_to_do(cluster: FluxCluster) -> None:
    before = pids(cluster)
    done = cluster.flux("rolling-restart", "--gate-timeout", "0.01", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("flux: stopped at gateway-1: it ")
    assert "after 0.01 s; gateway-2 not restarted" in done.stderr
    assert "See `flux logs gateway-1`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    here = LocalCluster(cluster.state_dir)
    until(lambda: not objection(here, find(here, "gateway-1")), "gateway-1 works again")
    after = pids(cluster)
    assert [name for name in before if before[name] != after[name]] == ["gateway-1"]


def test_nothing_is_restarted_while_something_is_out_of_order(cluster: FluxCluster) -> None:
    cluster.flux("drain", "gateway-2", "--wait")
    before = pids(cluster)
    done = cluster.flux("rolling-restart", check=False)
    cluster.flux("undrain", "gateway-2")
    assert done.returncode == 1
    assert "gateway-2 is out of order: it is " in done.stderr
    assert "Nothing was restarted" in done.stderr
    assert pids(cluster) == before


def test_the_gate_wants_this_very_process_used_by_every_proxy(cluster: FluxCluster) -> None:
    here = LocalCluster(cluster.state_dir)
    until(lambda: not objection(here, find(here, "gateway-2")), "gateway-2 works again")
    cluster.flux("kill", "gateway-2", "--hold", "60")
    try:
        assert objection(here, find(here, "gateway-2")).startswith("it does not run (")
        assert objection(here, find(here, "proxy-1")) in ("", "proxy-1 does not use gateway-2")
    finally:
        here.ask("release", name="gateway-2")
    until(lambda: not objection(here, find(here, "gateway-2")), "gateway-2 works again")


def test_on_a_deployed_cluster_the_playbook_is_named(host: Host) -> None:
    out, err = host.flux("rolling-restart", status=1)
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "playbooks/rolling_update.yml" in err


def test_moves_are_counted_from_turn_to_turn() -> None:
    assert _Moves(510, 3).since(_Moves(10, 1)) == "500 sessions moved, 2 failed"
    assert _Moves(2, 0).since(_Moves(10, 1)) == "0 sessions moved, 0 failed"


def test_without_a_cluster_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = FluxCluster(tmp_path / "none", 1, 1).flux("rolling-restart", check=False)
    assert done.returncode == 1
    assert "start one with `flux up`" in done.stderr
