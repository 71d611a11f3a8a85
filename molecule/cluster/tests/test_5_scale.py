"""A fourth node: sessions move to it, and nobody notices."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_gateway.core.timeline import EventKind
from tests.hosts import lab
from tests.hosts.deployed import Deployed
from tests.hosts.paths import KEY
from tests.hosts.witness import Witness

ADDRESS = "10.42.0.214"
BALANCED = 1.25
"""Times the mean that a node may hold afterwards."""


@pytest.fixture
def fourth(deployed: Deployed, tmp_path: Path) -> Iterator[Path]:
    """A bare host in the group gateways: the inventory that adds it. It is gone afterwards, and forgotten."""
    lab.up([lab.Wanted("gw4", ADDRESS)])
    host = {
        "ansible_host": ADDRESS, "ansible_user": "root", "ansible_ssh_private_key_file": str(KEY),
        "ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null",
        "flux_secrets_dir": str(deployed.inventory.parent / ".secrets"),
    }  # fmt: skip
    inventory = tmp_path / "more.yml"
    inventory.write_text(json.dumps({"gateways": {"hosts": {"gw4": host}}}))
    try:
        yield inventory
    finally:
        deployed.host("gw4").exec("systemctl", "stop", "flux-gateway@gateway-4.service", check=False)
        lab.down(["gw4"])
        deployed.host("dash1").exec("flux", "forget", "gateway-4", check=False)


def held(deployed: Deployed) -> dict[str, int]:
    """Return how many connections the proxy has to each node."""
    with urllib.request.urlopen(f"http://{deployed.host('lb1').address}:8081/info", timeout=5) as answer:
        return {name: node["connections"] for name, node in json.load(answer)["nodes"].items()}


@pytest.mark.timeout(400)
def test_scale_out(deployed: Deployed, fourth: Path) -> None:
    began = time.time()
    with Witness(deployed.url, expect="none", return_within=None) as witness:
        deployed.playbook("playbooks/scale_out.yml", "-i", str(fourth), flux_rebalance="now")
        shares = held(deployed)
        # The node leaves again, while the others have its clients.
        deployed.host("gw4").exec("systemctl", "stop", "flux-gateway@gateway-4.service")
        time.sleep(1)
    assert witness.check()["report"]["counts"]["disconnects"] == {}
    assert max(shares.values()) <= BALANCED * sum(shares.values()) / 4, shares
    moved = [event for event in deployed.events_since(began) if event.kind is EventKind.MOVED]
    assert moved
