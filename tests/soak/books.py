"""The books of a running cluster: who holds how many clients, and what its processes take. Read from outside."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError
from flux_gateway.keeper.link import count
from flux_gateway.runtime import admin_client
from flux_gateway.supervisor.settings import GATEWAY_ADMIN_PORT, PROXY_ADMIN_PORT

PROXY = "proxy-1"

MID_FRAME = ("node lost", "node lost in mid-frame", "reattach failed: node lost in mid-frame")
"""Causes of closes that a node which dies or hangs may bring about: the session was inside a message."""


class Usage(NamedTuple):
    """What one kind of process takes; of several processes the most."""

    rss: int
    """Bytes."""
    files: int
    """Open ones beside those of the clients that it holds."""
    tasks: int
    """Of its event loop; 0 for what has none, or does not tell."""


class Books:
    """Reads the books of a cluster with one proxy."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._token = cluster.state.token.read_text().strip()

    def _admin(self, name: str) -> tuple[str, int]:
        kind, _, number = name.rpartition("-")
        group, port = {"gateway": (1, GATEWAY_ADMIN_PORT), "proxy": (2, PROXY_ADMIN_PORT)}[kind]
        return self._cluster.settings.address(group, int(number)), port

    def info(self, name: str) -> dict[str, Any]:
        """Return `/info` of a gateway or the proxy. Raises `CommandError`."""
        found: dict[str, Any] = admin_client.get(*self._admin(name), "/info", timeout=5)
        return found

    def usable(self) -> list[str]:
        """Return the nodes that the proxy sends clients to; none when it does not answer."""
        try:
            nodes = self.info(PROXY)["nodes"]
        except CommandError:
            return []
        return sorted(node_id for node_id, node in nodes.items() if node["usable"])

    def gateways(self) -> list[str]:
        """Return the names of the gateways that the supervisor runs."""
        return [one.name for one in self._cluster.ask("status").processes if one.kind == "gateway"]

    def holders(self) -> dict[str, int]:
        """Return how many clients the proxy, its keeper, and the nodes together hold; -1 for who does not answer."""
        found = {"proxy": -1, "keeper": -1, "nodes": -1}
        try:
            found["proxy"] = self.info(PROXY)["connections"]
            found["nodes"] = sum(self.info(name)["connections"] for name in self.gateways())
            found["keeper"] = asyncio.run(count(str(self._cluster.state.keeper(1))))
        except (CommandError, OSError):
            pass
        return found

    def unknown_streams(self) -> int:
        """Return how many connections a proxy whose predecessor was killed still has to find the frames of."""
        name = "flux_proxy_connections_taken_over_total"
        taken_over = sum(int(sample.value) for sample in self._samples() if sample.name == name)
        moves: dict[str, int] = self.info(PROXY)["moves"]
        return max(0, taken_over - sum(moves.values()))

    def closes(self) -> Counter[str]:
        """Return how many connections this proxy process has given up or closed for want of a node, by cause."""
        found: Counter[str] = Counter()
        for sample in self._samples():
            if sample.name == "flux_proxy_connections_given_up_total":
                found["given up"] += int(sample.value)
            elif sample.name == "flux_proxy_sessions_closed_total" and sample.labels["cause"] in MID_FRAME:
                found["mid-frame"] += int(sample.value)
        return found

    def _samples(self) -> list[Sample]:
        _, text = admin_client.request("GET", *self._admin(PROXY), "/metrics", timeout=5)
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def usage(self) -> Mapping[str, Usage]:
        """Return what each kind of process takes."""
        answer = self._cluster.ask("status")
        pids = [("supervisor", "supervisor", answer.pid)]
        pids += [(one.kind, one.name, one.pid) for one in answer.processes if one.pid is not None]
        found: dict[str, Usage] = {}
        for kind, name, pid in pids:
            try:
                process = psutil.Process(pid)
                files = process.num_fds() - self._of_clients(kind, name)
                one = Usage(process.memory_info().rss, files, self._tasks(kind, name))
            except (psutil.Error, CommandError, OSError):  # between two processes
                continue
            found[kind] = Usage(*map(max, one, found.get(kind, one)))
        return found

    def _of_clients(self, kind: str, name: str) -> int:
        """Return how many sockets of its clients a process holds: with a proxy in between there are two for each."""
        if kind == "gateway":
            return int(self.info(name)["connections"])
        if kind == "proxy":
            return 2 * int(self.info(name)["connections"])
        return 2 * asyncio.run(count(str(self._cluster.state.keeper(1)))) if kind == "keeper" else 0

    def _tasks(self, kind: str, name: str) -> int:
        if kind not in ("gateway", "proxy"):
            return 0
        stacks = admin_client.post(*self._admin(name), "/dump", self._token)
        return sum(entry.startswith("task ") for entry in stacks)
