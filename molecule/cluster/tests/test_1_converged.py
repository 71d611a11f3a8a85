"""What `site.yml` has left behind: units, ports, and a cluster that speaks the protocol."""

import json
import urllib.request

import pytest
from websockets.sync.client import connect

from tests.hosts.deployed import Deployed

NODES = {"gateway-1": "gw1", "gateway-2": "gw2", "gateway-3": "gw3"}
PROXY, REDIS, DASHBOARD = "10.42.0.201", "10.42.0.221", "10.42.0.231"

SSH = {"0.0.0.0:22", "[::]:22"}
PORTS = {
    "lb1": {f"{PROXY}:8080", f"{PROXY}:8081"},
    "gw1": {"10.42.0.211:7000", "10.42.0.211:7100"},
    "gw2": {"10.42.0.212:7000", "10.42.0.212:7100"},
    "gw3": {"10.42.0.213:7000", "10.42.0.213:7100"},
    "redis1": {"127.0.0.1:6379", f"{REDIS}:6379"},
    "dash1": {f"{DASHBOARD}:9090"},
}
"""All that may listen, besides ssh."""


def test_text_and_binary_come_back_through_the_proxy(deployed: Deployed) -> None:
    with connect(f"{deployed.url}/echo", compression=None) as client:
        for message in ("flux ✓", b"\x00\xff" * 1000):
            client.send(message)
            assert client.recv(timeout=5) == message


def test_the_registry_holds_what_the_design_says(deployed: Deployed) -> None:
    nodes = json.loads(
        deployed.host("dash1").exec("flux", "--deployed", "/etc/flux/flux.toml", "status", "--json")
    )["nodes"]
    assert {node["id"]: (node["state"], node["port"]) for node in nodes} == dict.fromkeys(NODES, ("UP", 7000))
    record = json.loads(deployed.host("gw1").exec("flux", "redis", "HGET", "gateway:nodes", "gateway-1"))
    assert record.keys() >= {"id", "host", "port", "admin_port", "state", "weight", "version", "connections",
                             "started_at", "heartbeat_at"}  # fmt: skip


def test_the_dashboard_shows_it(deployed: Deployed) -> None:
    with urllib.request.urlopen(f"http://{DASHBOARD}:9090/api/cluster", timeout=5) as answer:
        view = json.load(answer)
    assert {node["id"]: node["state"] for node in view["nodes"]} == dict.fromkeys(NODES, "UP")


@pytest.mark.parametrize("host", PORTS)
def test_nothing_listens_wider_than_it_must(deployed: Deployed, host: str) -> None:
    lines = deployed.host(host).exec("ss", "-Hltn").splitlines()
    assert {line.split()[3] for line in lines} == SSH | PORTS[host]


@pytest.mark.parametrize(
    ("host", "unit"),
    [("gw1", "flux-gateway@gateway-1.service"), ("lb1", "flux-proxy.service"), ("dash1", "flux-dashboard.service")],
)  # fmt: skip
def test_the_units_are_hardened(deployed: Deployed, host: str, unit: str) -> None:
    said = deployed.host(host).exec("systemd-analyze", "security", "--no-pager", unit)
    assert float(said.rpartition("service: ")[2].split()[0]) <= 2.0


@pytest.mark.parametrize("host", PORTS)
def test_flux_works_on_every_host(deployed: Deployed, host: str) -> None:
    machine = deployed.host(host)
    assert "gateway-3" in machine.exec("flux", "status")
    assert "gen0" in machine.exec("flux", "stat", "gateway-1", "100", "1")
    assert "events" in machine.exec("flux", "top", "--once")
    assert machine.exec("systemctl", "--failed", "--quiet", "--no-legend") == ""


def test_the_journal_tells_the_story_of_a_session(deployed: Deployed) -> None:
    with connect(f"{deployed.url}/echo", compression=None) as client:
        assert client.response is not None
        node, session = client.response.headers["X-Flux-Node"], client.response.headers["X-Flux-Session"]
    story = deployed.host(NODES[node]).exec(
        "journalctl", "--no-pager", "-q", "-o", "cat", f"FLUX_NODE={node}", f"FLUX_SESSION={session}"
    )
    assert "session opened" in story


def test_a_check_run_would_change_nothing(deployed: Deployed) -> None:
    done = deployed.playbook("site.yml", "--check")
    recap = done.stdout.rpartition("PLAY RECAP")[2]
    assert recap.count("changed=0") == len(PORTS), done.stdout[-4000:]
