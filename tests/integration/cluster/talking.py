"""Clients that talk to a whole cluster while a test does something to it: `flux load`, and what it counted."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import pytest

from flux_gateway.cli.local import LocalCluster
from flux_gateway.runtime import admin_client
from tests.cluster import FluxCluster
from tests.processes import until

RATE = 10
"""Messages a second of each client."""


def can_partition() -> bool:
    """Whether this process may cut off an address."""
    return os.geteuid() == 0 and shutil.which("iptables") is not None


class Talking:
    """Clients from entering the `with` block until its end; then `counts` and `ok` tell what they saw.

    With `lost` and `closed` a sudden end may cost so much; without, nothing.
    """

    def __init__(self, cluster: FluxCluster, clients: int = 100) -> None:
        self.here = LocalCluster(cluster.state_dir)
        self.clients = clients
        self.lost = self.closed = 0
        self.counts: dict[str, Any] = {}
        self._cluster = cluster
        self._moves: dict[str, int] = {}

    def __enter__(self) -> Self:
        command = [
            sys.executable, "-m", "flux_gateway", "--state-dir", str(self._cluster.state_dir), "load", "--json",
            "--clients", str(self.clients), "--rate", str(RATE), "--duration", "100",
        ]  # fmt: skip
        self._load = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        until(lambda: self.connections() == self.clients, "every client connected")
        self._moves = self._told()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._load.send_signal(signal.SIGINT)
        out, _ = self._load.communicate(timeout=30)
        if kind is None:
            self.counts = json.loads(out)["report"]["counts"]
            self._judge()

    def _judge(self) -> None:
        counts = self.counts
        assert counts["received"] > self.clients * RATE, "they have hardly talked"
        assert {name: counts[name] for name in ("doubled", "reordered", "corrupt")} == {
            "doubled": 0, "reordered": 0, "corrupt": 0,
        }  # fmt: skip
        assert counts["connect_failures"] == {}
        assert counts["lost"] <= self.lost
        if self.closed:
            assert counts["disconnects"].keys() <= {"1012", "1006"}
        assert sum(counts["disconnects"].values()) <= self.closed

    def may_lose(self, node: str, seconds: float) -> None:
        """Expect that the node's clients lose what they send in so many seconds, and one in a hundred is cut."""
        self.lost += math.ceil(self.sessions(node) * RATE * seconds)
        self.closed += math.ceil(self.clients / 100)

    # What the cluster says meanwhile.

    def connections(self) -> int:
        """Return how many clients the proxies hold."""
        return sum(info["connections"] for info in self._proxies())

    def sessions(self, node: str) -> int:
        """Return how many sessions a node itself has."""
        connections: int = admin_client.get(*self.here.member(node), "/info")["connections"]
        return connections

    def on_all(self) -> dict[str, int]:
        """Return how many sessions each node has that is up."""
        return {node: self.sessions(node) for node, state in self._cluster.states().items() if state == "UP"}

    def moves(self) -> dict[str, int]:
        """Return the sessions moved since the beginning by `move`, `reattach` and `failed`, as the proxies count."""
        return {name: total - self._moves.get(name, 0) for name, total in self._told().items()}

    def proxy_restarted(self) -> None:
        """From here on a new process counts from 0."""
        self._moves = {}

    def each_exactly_once(self) -> None:
        """Wait until the nodes hold as many sessions as there are clients: no session is gone, none is double."""
        until(lambda: self.connections() == sum(self.on_all().values()) == self.clients, "each session exactly once")

    def _told(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for info in self._proxies():
            for name, total in info["moves"].items():
                found[name] = found.get(name, 0) + total
        return found

    def _proxies(self) -> list[dict[str, Any]]:
        return [admin_client.get(proxy.admin_host, proxy.admin_port, "/info") for proxy in self.here.proxies()]


needs_root = pytest.mark.skipif(not can_partition(), reason="a partition needs root and iptables")
