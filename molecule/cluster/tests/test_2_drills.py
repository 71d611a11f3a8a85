"""Every drill of the README's list, as the one command it is, with 500 clients that talk."""

from typing import Any

import pytest

from flux_gateway.core.timeline import EventKind
from tests.hosts.checks import unit_property
from tests.hosts.deployed import Deployed
from tests.hosts.witness import judged

CLIENTS = 500
RATE = 10
"""Messages per second and client: drill_rate of the drills."""

PLANNED, SUDDEN, SILENT = 0.0, 0.5, 3.5
"""Seconds for which what the clients of one node say may be lost: drill_silence of the drills."""


def around(deployed: Deployed, drill: dict[str, Any]) -> float:
    """Return the seconds from the fault until the proxy sent no new client to the node."""
    kinds = (EventKind.SUSPECT, EventKind.DRAINING)
    moments = [event.at for event in deployed.events_since(drill["fault_at"] - 1)
               if event.subject == drill["node"] and event.kind in kinds]  # fmt: skip
    assert moments, f"nobody noticed that {drill['node']} was gone"
    return moments[0] - float(drill["fault_at"])


def unnoticed(drill: dict[str, Any], silence: float, clients: int = CLIENTS) -> dict[str, Any]:
    """Fail if a client was closed, or more was lost than a node's clients say in so many seconds. Return the report."""
    lost = round(1.25 * clients / 3 * RATE * silence)
    report: dict[str, Any] = judged(drill["report"], clients, lost)["report"]
    assert report["counts"]["disconnects"] == {}
    return report


@pytest.mark.parametrize(
    ("name", "silence", "within"),
    [
        ("stop", PLANNED, 1.0),
        ("term", PLANNED, 1.0),
        ("kill", SUDDEN, 1.0),
        ("hang", SILENT, 3.5),
        ("partition", SILENT, 3.5),
    ],
)
def test_a_fault_of_one_node(deployed: Deployed, name: str, silence: float, within: float) -> None:
    # Its sessions have gone elsewhere in the drill before: they must be there to be missed.
    deployed.host("dash1").exec("flux", "rebalance", "--now")
    drill = deployed.drill(name, node="gateway-2", clients=CLIENTS, seconds=8)
    report = unnoticed(drill, silence)
    assert around(deployed, drill) <= within
    assert report["longest_silence"] < within + 1.5
    moved = [event for event in deployed.events_since(drill["fault_at"])
             if event.subject == "gateway-2" and event.kind in (EventKind.MOVED, EventKind.REATTACHED)]  # fmt: skip
    assert moved, "its clients were somewhere else: the drill has shown nothing"


def test_a_partition_until_the_node_is_dead(deployed: Deployed) -> None:
    drill = deployed.drill("partition", node="gateway-3", clients=CLIENTS, seconds=24)
    unnoticed(drill, SILENT)
    assert around(deployed, drill) <= 3.5
    dead = [event.at for event in deployed.events_since(drill["fault_at"])
            if event.subject == "gateway-3" and event.kind is EventKind.DEAD]  # fmt: skip
    assert dead
    assert dead[0] - drill["fault_at"] <= 20


@pytest.mark.parametrize("name", ["redis_stop", "proxy_restart", "keeper_kill"])
def test_what_nobody_notices(deployed: Deployed, name: str) -> None:
    unnoticed(deployed.drill(name, clients=CLIENTS, seconds=8), PLANNED)


def test_the_proxy_is_killed(deployed: Deployed) -> None:
    drill = deployed.drill("proxy_kill", clients=CLIENTS, seconds=6)
    closed = judged(drill["report"], CLIENTS)["report"]["counts"]["disconnects"]
    assert closed.keys() <= {"1006", "1012"}
    assert sum(closed.values()) <= CLIENTS // 100


def test_heal_ends_what_is_left_and_may_be_run_any_time(deployed: Deployed) -> None:
    deployed.host("gw1").exec("systemctl", "kill", "-s", "STOP", "--kill-whom=main", "flux-gateway@gateway-1.service")
    deployed.host("gw2").exec("systemctl", "stop", "flux-gateway@gateway-2.service")
    deployed.host("lb1").exec("systemctl", "stop", "flux-keeper.service")
    deployed.playbook("playbooks/drills/heal.yml")
    deployed.all_up()
    assert unit_property(deployed.host("lb1"), "flux-keeper.service", "ActiveState") == "active"
    # Not what the host merely has installed.
    assert unit_property(deployed.host("lb1"), "redis-server.service", "ActiveState") == "inactive"
    deployed.playbook("playbooks/drills/heal.yml")
