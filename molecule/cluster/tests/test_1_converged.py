"""What `site.yml` has left behind: units, ports, and a cluster that speaks the protocol."""

import json
import urllib.request

import pytest
from websockets.sync.client import connect

from tests.hosts.checks import SSH, listening, security_exposure
from tests.hosts.deployed import Deployed

NODES = {"gateway-1": "gw1", "gateway-2": "gw2", "gateway-3": "gw3"}

PORTS = {
    "lb1": (8080, 8081),
    "gw1": (7000, 7100),
    "gw2": (7000, 7100),
    "gw3": (7000, 7100),
    "redis1": (6379,),
    "dash1": (9090,),
}
"""All that may listen on a host's own address, besides ssh."""
LOCAL_PORTS = {"redis1": (6379,)}
"""... and on 127.0.0.1."""


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
    with urllib.request.urlopen(f"http://{deployed.host('dash1').address}:9090/api/cluster", timeout=5) as answer:
        view = json.load(answer)
    assert {node["id"]: node["state"] for node in view["nodes"]} == dict.fromkeys(NODES, "UP")


@pytest.mark.parametrize("host", PORTS)
def test_nothing_listens_wider_than_it_must(deployed: Deployed, host: str) -> None:
    machine = deployed.host(host)
    own = {(machine.address, port) for port in PORTS[host]}
    local = {("127.0.0.1", port) for port in LOCAL_PORTS.get(host, ())}
    assert listening(machine) == SSH | own | local


@pytest.mark.parametrize(
    ("host", "unit"),
    [
        ("gw1", "flux-gateway@gateway-1.service"),
        ("lb1", "flux-proxy.service"),
        ("lb1", "flux-keeper.service"),
        ("dash1", "flux-dashboard.service"),
    ],
)
def test_the_units_are_hardened(deployed: Deployed, host: str, unit: str) -> None:
    assert security_exposure(deployed.host(host), unit) <= 2.0


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


@pytest.mark.timeout(400)
def test_a_check_run_would_change_nothing(deployed: Deployed) -> None:
    done = deployed.playbook("site.yml", "--check")
    recap = done.stdout.rpartition("PLAY RECAP")[2]
    assert recap.count("changed=0") == len(PORTS), done.stdout[-4000:]
