"""The cluster a command talks to: its registry, its members' admin HTTP, its addresses.

There are two kinds: `LocalCluster` in `local.py` (a state directory and a supervisor on this machine) and
`DeployedCluster` in `deployed.py` (systemd units on several hosts). `selection.py` finds the one that is meant.
"""

from functools import cached_property
from typing import Any

from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import GONE
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot
from flux_gateway.registry.connect import RedisSettings, connect_blocking
from flux_gateway.registry.reader import RegistryReader
from flux_gateway.runtime import admin_client
from flux_gateway.runtime.admin import read_token


class Cluster:
    """What is true of both kinds. Nothing is contacted, and no secret read, before it is needed."""

    url: str
    """WebSocket address of the cluster, without a path."""
    dashboard_url: str
    """Address of the dashboard's page; empty if there is none."""
    title: str
    """Which cluster this is, for people: a line."""
    token_file: str
    redis: RedisSettings

    @property
    def api_key_file(self) -> str:
        """Path of the file with the key of the server API; empty if it is not known. Raises `CommandError`."""
        return ""

    @cached_property
    def reader(self) -> RegistryReader:
        """The registry. Raises `ConfigError` if the password cannot be read."""
        return RegistryReader(connect_blocking(self.redis), heartbeat_life=self.redis.heartbeat_life)

    def snapshot(self) -> Snapshot:
        """Read the registry."""
        return self.reader.snapshot()

    def node(self, node_id: str) -> NodeRecord:
        """Return a node's record. Raises `CommandError` naming the nodes there are."""
        nodes = self.snapshot().nodes
        if node_id not in nodes:
            raise CommandError(f"there is no node {node_id!r}; there are {', '.join(nodes) or 'none'}")
        return nodes[node_id]

    def proxies(self) -> list[ProxyRecord]:
        """Return the proxies that have neither stopped nor died."""
        return [proxy for proxy in self.snapshot().proxies.values() if proxy.state not in GONE]

    def member(self, member_id: str) -> tuple[str, int]:
        """Return the admin address of a node or a proxy. Raises `CommandError` naming those there are."""
        snapshot = self.snapshot()
        if member_id in snapshot.nodes:
            return snapshot.nodes[member_id].host, snapshot.nodes[member_id].admin_port
        proxy: ProxyRecord | None = snapshot.proxies.get(member_id)
        if proxy is None:
            there_are = ", ".join([*snapshot.nodes, *snapshot.proxies]) or "none"
            raise CommandError(f"there is no node or proxy {member_id!r}; there are {there_are}")
        return proxy.admin_host, proxy.admin_port

    def post(self, member_id: str, path: str) -> Any:
        """POST to the admin HTTP of a node or proxy, with the cluster's token."""
        host, port = self.member(member_id)
        return admin_client.post(host, port, path, read_token(self.token_file), who=member_id)
