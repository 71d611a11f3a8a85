"""Every drill of the README's list, as the one command it is, with 500 clients that talk."""

from typing import Any

import pytest

from flux_gateway.core.timeline import EventKind
from tests.hosts.deployed import Deployed
from tests.hosts.witness import judged

CLIENTS = 500


def around(deployed: Deployed, drill: dict[str, Any]) -> float:
    """Return the seconds from the fault until the proxy sent no new client to the node."""
    kinds = (EventKind.SUSPECT, EventKind.DRAINING)
    moments = [event.at for event in deployed.events_since(drill["fault_at"] - 1)
               if event.subject == drill["node"] and event.kind in kinds]  # fmt: skip
    assert moments, f"nobody noticed that {drill['node']} was gone"
    return moments[0] - float(drill["fault_at"])


@pytest.mark.parametrize(
    ("name", "within"), [("stop", 1.0), ("term", 1.0), ("kill", 1.0), ("hang", 3.5), ("partition", 3.5)]
)
def test_a_fault_of_one_node(deployed: Deployed, name: str, within: float) -> None:
    drill = deployed.drill(name, node="gateway-2", clients=CLIENTS, seconds=8)
    closed = judged(drill["report"], CLIENTS)["report"]["counts"]["disconnects"]
    allowed = {"stop": {"1012"}, "term": {"1012"}, "kill": {"1012", "1006"}}.get(name, set())
    assert closed.keys() <= allowed
    assert bool(closed) is bool(allowed)
    assert around(deployed, drill) <= within


def test_a_partition_until_the_node_is_dead(deployed: Deployed) -> None:
    drill = deployed.drill("partition", node="gateway-3", clients=CLIENTS, seconds=24)
    closed = judged(drill["report"], CLIENTS)["report"]["counts"]["disconnects"]
    assert closed.keys() <= {"1012", "1006"}
    assert around(deployed, drill) <= 3.5
    dead = [event.at for event in deployed.events_since(drill["fault_at"])
            if event.subject == "gateway-3" and event.kind is EventKind.DEAD]  # fmt: skip
    assert dead
    assert dead[0] - drill["fault_at"] <= 20


def test_redis_is_away(deployed: Deployed) -> None:
    drill = deployed.drill("redis_stop", clients=CLIENTS, seconds=8)
    assert judged(drill["report"], CLIENTS)["report"]["counts"]["disconnects"] == {}


def test_the_proxy_is_killed(deployed: Deployed) -> None:
    drill = deployed.drill("proxy_kill", clients=CLIENTS, seconds=6)
    assert judged(drill["report"], CLIENTS)["report"]["counts"]["disconnects"].keys() <= {"1006"}


def test_heal_ends_what_is_left_and_may_be_run_any_time(deployed: Deployed) -> None:
    deployed.host("gw1").exec("systemctl", "kill", "-s", "STOP", "--kill-whom=main", "flux-gateway@gateway-1.service")
    deployed.host("gw2").exec("systemctl", "stop", "flux-gateway@gateway-2.service")
    deployed.playbook("playbooks/drills/heal.yml")
    deployed.all_up()
    deployed.playbook("playbooks/drills/heal.yml")
