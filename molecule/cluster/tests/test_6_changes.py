"""What an operator does on purpose: a reboot, a rolling update, one that fails its gate, the way back, the fallback."""

import shutil
import time
from pathlib import Path

import pytest

from tests.hosts.checks import unit_property
from tests.hosts.deployed import ROOT, Deployed, until
from tests.hosts.witness import Witness

HOSTS = ("gw1", "gw2", "gw3", "lb1", "dash1", "redis1")


def versions(deployed: Deployed) -> dict[str, str]:
    return {node.id: node.version for node in deployed.snapshot().nodes.values()}


def release(deployed: Deployed, host: str = "gw1") -> str:
    return deployed.host(host).exec("readlink", "/opt/flux-gateway/current").strip().rpartition("/")[2]


def tree(folder: Path, version: str, broken: bool = False) -> Path:
    """Return a copy of this tree that calls itself `version`; a broken one has nodes that end at once."""
    for name in ("flux_gateway", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "flux_gateway/__init__.py").write_text(f'"""A later build."""\n\n__version__ = "{version}"\n')
    if broken:
        daemon = folder / "flux_gateway/gateway/daemon.py"
        daemon.write_text(daemon.read_text() + '\n\nasync def run(settings, redis):\n    raise SystemExit("broken")\n')
    return folder


def test_a_host_boots_again(deployed: Deployed) -> None:
    with Witness(deployed.url, expect="none", return_within=None) as witness:
        deployed.host("gw3").reboot()
        deployed.all_up(60)
        time.sleep(1)
    assert witness.check()["report"]["counts"]["disconnects"] == {}


def test_haproxy_serves_while_the_proxy_cannot_and_leaves_when_it_can(deployed: Deployed) -> None:
    proxy = deployed.host("lb1")
    broken = "/run/systemd/system/flux-proxy.service.d/broken.conf"
    with Witness(deployed.url, expect="1006,1012", return_within=15, newcomer_retries=40) as witness:
        proxy.exec("mkdir", "-p", "/run/systemd/system/flux-proxy.service.d")
        proxy.exec("sh", "-c", f"printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' > {broken}")
        proxy.exec("systemctl", "daemon-reload")
        proxy.exec("systemctl", "kill", "-s", "KILL", "flux-proxy.service")
        until(lambda: _active(deployed, "flux-haproxy.service"), "HAProxy has taken over", 20)
        time.sleep(3)
        proxy.exec("rm", broken)
        proxy.exec("systemctl", "daemon-reload")
        until(lambda: _active(deployed, "flux-proxy.service"), "the proxy is back", 40)
        until(lambda: not _active(deployed, "flux-haproxy.service"), "HAProxy has left", 45)
        time.sleep(3)
    assert witness.check()["newcomers"]["served"] > 200


def _active(deployed: Deployed, unit: str) -> bool:
    said = deployed.host("lb1").exec("systemctl", "show", "--property", "ActiveState", "--value", unit)
    return said.strip() == "active"


@pytest.mark.timeout(600)
def test_a_rolling_update(deployed: Deployed, tmp_path: Path) -> None:
    # Every node, the proxy and its keeper, one after another.
    with Witness(deployed.url, expect="none", return_within=None) as witness:
        deployed.playbook("playbooks/rolling_update.yml", flux_tree=tree(tmp_path, "9.9.9"))
    assert witness.check()["report"]["counts"]["disconnects"] == {}
    for unit in ("flux-proxy.service", "flux-keeper.service"):
        pid = unit_property(deployed.host("lb1"), unit, "MainPID")
        assert "/9.9.9-" in deployed.host("lb1").exec("cat", f"/proc/{pid}/cmdline"), unit
    assert set(versions(deployed).values()) == {"9.9.9"}
    assert len({release(deployed, host) for host in HOSTS}) == 1


@pytest.mark.timeout(600)
def test_a_rolling_update_stops_at_the_first_failed_gate_and_a_roll_back_repairs_it(
    deployed: Deployed, tmp_path: Path
) -> None:
    before = release(deployed)
    done = deployed.playbook(
        "playbooks/rolling_update.yml", check=False, flux_tree=tree(tmp_path, "9.9.8", broken=True), drain_seconds=1
    )
    try:
        assert done.returncode != 0
        assert "Stopped at gateway-1 on gw1" in done.stdout
        assert [node for node, state in deployed.states().items() if state != "UP"] == ["gateway-1"]
        assert {release(deployed, host) for host in HOSTS if host != "gw1"} == {before}
    finally:
        deployed.playbook("playbooks/rollback.yml", flux_release=before, drain_seconds=1)
    assert {release(deployed, host) for host in HOSTS} == {before}
    assert set(deployed.states().values()) == {"UP"}
