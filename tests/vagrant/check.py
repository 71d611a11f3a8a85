"""What a newcomer sees of the lab after `vagrant up` and `ansible-playbook site.yml`, through the forwarded ports.

lab.sh runs this inside the lab. Each check prints one line; the first that fails ends it with exit status 1. Times are
those of emulated machines: 14 times slower than real ones. Functional only: load belongs to the benchmarks.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = "ws://localhost:8080/echo"
DASHBOARD = "http://localhost:9090"
CLIENTS = 20
DEADLINE_S = 120
"""Until a daemon that was started or killed counts as up again: heartbeats, and Python's start under emulation."""


class CheckFailed(Exception):
    """The lab does not behave as documented."""


def run(*command: str, deadline_s: float = DEADLINE_S) -> str:
    """Output of a command that must succeed. Raises CheckFailed with what it said."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=deadline_s, check=False)
    if done.returncode:
        raise CheckFailed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def on_host(host: str, command: str) -> str:
    """Run a command as root on a VM. Raises CheckFailed."""
    return run("ansible", host, "--inventory", "inventory/vagrant.py", "--become",
               "--module-name", "ansible.builtin.command", "--args", command)  # fmt: skip


def lab_hosts() -> dict[str, list[str]]:
    """Hosts by group."""
    listed = json.loads(run("inventory/vagrant.py", "--list"))
    return {group: value["hosts"] for group, value in listed.items() if group != "_meta"}


def fetch(path: str) -> str:
    """A page of the dashboard."""
    with urllib.request.urlopen(f"{DASHBOARD}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def cluster() -> dict[str, Any]:
    """What the dashboard says of the whole cluster."""
    found: dict[str, Any] = json.loads(fetch("/api/cluster"))
    return found


def wait_until_up(nodes: int, proxies: int) -> dict[str, Any]:
    """The cluster, once so many nodes and proxies are UP and no link is suspected. Raises CheckFailed."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = cluster()
        states = [member["state"].lower() for member in (*found["nodes"], *found["proxies"])]
        links = [link for proxy in found["proxies"] for link in proxy["links"].values()]
        whole = states == ["up"] * (nodes + proxies) and links == ["up"] * (nodes * proxies)
        if whole and not found["stale"]:
            return found
        if time.monotonic() > deadline:
            raise CheckFailed(f"not all up after {DEADLINE_S} s: {json.dumps(found, indent=1)[:4000]}")
        time.sleep(1)


def load(*arguments: str, duration_s: int) -> subprocess.Popen[str]:
    """Start a few talking clients and newcomers; `outcome` waits for their end."""
    command = [
        sys.executable, "-m", "flux_gateway", "load", "--url", CLUSTER, "--clients", str(CLIENTS), "--ramp", "5",
        "--duration", str(duration_s), "--grace", "30", "--json", *arguments,
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> Any:
    """The report of the load. Raises CheckFailed unless every invariant held."""
    output, errors = process.communicate(timeout=DEADLINE_S)
    if process.returncode:
        raise CheckFailed(f"flux load: exit status {process.returncode}\n{output}{errors}")
    return json.loads(output)


def check_dashboard() -> str:
    """The page is there, and everything deployed is up."""
    if "<html" not in fetch("/dashboard"):
        raise CheckFailed("the dashboard's page is no HTML")
    hosts = lab_hosts()
    found = wait_until_up(len(hosts["gateways"]), len(hosts["proxies"]))
    return f"{len(found['nodes'])} nodes and {len(found['proxies'])} proxies up, at {DASHBOARD}/dashboard"


def check_echo() -> str:
    """Every message comes back, and the keys are spread over all nodes."""
    process = load("--expect", "none", duration_s=30)
    try:
        connections = wait_for_clients()
        counts = outcome(process)["report"]["counts"]
    finally:
        process.kill()
    nodes = len(lab_hosts()["gateways"])
    if len(connections) != nodes or 0 in connections.values():
        raise CheckFailed(f"clients of {nodes} nodes: {connections}")
    return f"{counts['received']} messages echoed by {nodes} nodes, none lost, at {CLUSTER}"


def check_status() -> str:
    """The command line works on a deployed host."""
    answer = on_host("lb1", "flux status")
    if "gateway-1" not in answer:
        raise CheckFailed(f"flux status on lb1 does not name gateway-1:\n{answer}")
    return "flux status answers on lb1"


def check_kill() -> str:
    """A node that is killed comes back by itself, and the other serves its clients meanwhile."""
    if len(lab_hosts()["gateways"]) < 2:
        return "left out: the kill of a node needs a second one"
    process = load("--expect", "1006,1012", "--return-within", "30", "--newcomers", "1", duration_s=60)
    try:
        wait_for_clients()
        on_host("gw1", "systemctl kill --signal=KILL flux-gateway@gateway-1.service")
        report = outcome(process)
    finally:
        process.kill()
    counts, newcomers = report["report"]["counts"], report["newcomers"]
    hosts = lab_hosts()
    wait_until_up(len(hosts["gateways"]), len(hosts["proxies"]))
    closed = sum(counts["disconnects"].values())
    if not closed:
        raise CheckFailed("no client was closed: the node was not killed, or had none")
    return f"gateway-1 killed: {closed} clients closed and back, {newcomers['served']} new ones served, node up again"


def wait_for_clients() -> dict[str, int]:
    """Connections by node once the load's clients are all connected. Raises CheckFailed after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        connections = {node["id"]: node["connections"] for node in cluster()["nodes"]}
        if sum(connections.values()) >= CLIENTS:
            return connections
        if time.monotonic() > deadline:
            raise CheckFailed("the load's clients do not appear on the dashboard")
        time.sleep(0.5)


CHECKS: tuple[Callable[[], str], ...] = (check_dashboard, check_echo, check_status, check_kill)


def main() -> int:
    """Run the checks in order."""
    for check in CHECKS:
        started = time.monotonic()
        try:
            result = check()
        except (CheckFailed, OSError, subprocess.TimeoutExpired) as error:
            print(f"failed  {check.__name__}: {error}")
            return 1
        print(f"ok      {result}  ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
