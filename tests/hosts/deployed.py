"""A cluster that a Molecule scenario has deployed: its hosts, its playbooks, its registry."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from websockets.sync.client import connect

from flux_gateway.core.membership import Snapshot
from flux_gateway.core.timeline import Event
from flux_gateway.registry.connect import RedisSettings, connect_blocking
from flux_gateway.registry.reader import RegistryReader
from tests.hosts import lab
from tests.hosts.machine import Machine

T = TypeVar("T")

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], T], what: str, seconds: float) -> T:
    """Ask again and again until the condition is true, and return what it returned; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what} (last: {value!r})"
        time.sleep(0.1)
    return value


class Deployed:
    """The cluster as its operator sees it. `address` is where clients connect."""

    def __init__(self, address: str, redis: str, sentinels: tuple[str, ...] = ()) -> None:
        self.inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"])
        self.address = address
        self.url = f"ws://{address}:8080"
        secrets = self.inventory.parent / ".secrets"
        settings = RedisSettings(
            host=redis, username="flux", password_file=str(secrets / "redis-password"), sentinels=sentinels
        )
        self.registry = RegistryReader(connect_blocking(settings), heartbeat_life=settings.heartbeat_life)

    @staticmethod
    def host(name: str) -> Machine:
        """Return a host by its name."""
        return lab.machines()[name]

    def playbook(
        self, name: str, *arguments: str, check: bool = True, **values: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook as an operator would; with `check`, fail the test with its output unless it succeeds."""
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(self.inventory), name, *arguments]
        for key, value in values.items():
            argv += ["--extra-vars", f"{key}={value}"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOST_KEY_CHECKING": "false"}
        done = subprocess.run(
            argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done

    def drill(self, name: str, **values: Any) -> dict[str, Any]:
        """Run a drill's playbook; return what it reports: `report` of flux load, `fault_at`, `healed_at`, `node`."""
        with tempfile.TemporaryDirectory(prefix="flux-drill-") as folder:
            file = Path(folder) / "drill.json"
            self.playbook(f"playbooks/drills/{name}.yml", drill_report=file, **values)
            found: dict[str, Any] = json.loads(file.read_text())
        return found

    def snapshot(self) -> Snapshot:
        """Read the registry."""
        return self.registry.snapshot()

    def states(self) -> dict[str, str]:
        """Return the state of each node, DEAD as soon as its heartbeat is gone."""
        snapshot = self.snapshot()
        return {
            node.id: str(node.state) if node.id in snapshot.heartbeat_age else "DEAD"
            for node in snapshot.nodes.values()
        }

    def all_up(self, seconds: float = 30.0) -> None:
        """Wait until every node is UP and every proxy has a link to it."""

        def good() -> bool:
            snapshot = self.snapshot()
            links = [proxy.links for proxy in snapshot.proxies.values() if proxy.id in snapshot.heartbeat_age]
            return set(self.states().values()) == {"UP"} and all(
                link.get(node) == "up" for link in links for node in snapshot.nodes
            )

        until(good, "every node is UP and linked", seconds)

    def events_since(self, moment: float) -> list[Event]:
        """Return the events of the time line since a unix time, oldest first."""
        return [event for event in reversed(self.registry.timeline(500)) if event.at >= moment]

    def check_affinity(self) -> None:
        """Fail unless sessions with the same key meet on one node."""
        for number in range(5):
            reached = {self.served_by(f"meet-{number}") for _ in range(3)}
            assert len(reached) == 1, reached

    def served_by(self, key: str) -> str:
        """Return the node that a new client with this key reaches."""
        with connect(f"{self.url}/whoami?session={key}", compression=None, open_timeout=5) as client:
            client.send("?")
            node: str = json.loads(client.recv(timeout=5))["node"]
        return node
