"""A node at its processor limit is busy, not dead."""

import json
import os
import time
import urllib.request

from flux_gateway.core.timeline import EventKind
from tests.hosts.deployed import Deployed
from tests.hosts.witness import Witness

UNIT = "flux-gateway@gateway-1.service"
QUOTA = 0.3


def cpu_seconds(deployed: Deployed) -> float:
    """Return the processor time the node has used. Not from its cgroup: with v1 nobody counts there."""
    machine = deployed.host("gw1")
    pid = machine.exec("systemctl", "show", "--property", "MainPID", "--value", UNIT).strip()
    fields = machine.exec("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_flooded_node_keeps_to_its_quota_and_is_not_declared_dead(deployed: Deployed) -> None:
    machine = deployed.host("gw1")
    machine.exec("systemctl", "set-property", "--runtime", UNIT, f"CPUQuota={QUOTA:.0%}")
    # Straight to the node, as fast as it answers: no proxy shares the blame.
    url = f"ws://{machine.address}:7000"
    began = time.time()
    try:
        with Witness(url, expect="none", clients=200, flood=64, return_within=None) as flood:
            started, used = time.monotonic(), cpu_seconds(deployed)
            slowest = 0.0
            while time.monotonic() < started + 10:
                asked = time.monotonic()
                with urllib.request.urlopen(f"http://{machine.address}:7100/livez", timeout=5) as answer:
                    assert json.load(answer)["alive"]
                slowest = max(slowest, time.monotonic() - asked)
                time.sleep(0.3)
            share = (cpu_seconds(deployed) - used) / (time.monotonic() - started)
    finally:
        machine.exec("systemctl", "set-property", "--runtime", UNIT, "CPUQuota=100%")
    assert 0.6 * QUOTA < share < 1.15 * QUOTA
    assert slowest < 2.9
    assert flood.result["report"]["counts"]["received"] > 1000
    fell = [event for event in deployed.events_since(began) if event.kind in (EventKind.SUSPECT, EventKind.DEAD)]
    assert not [event for event in fell if event.subject == "gateway-1"]
