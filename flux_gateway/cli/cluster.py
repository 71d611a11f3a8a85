"""The cluster a command talks to: found through the state directory."""

import tomllib
from pathlib import Path
from typing import Any

import click

from flux_gateway.core.errors import CommandError
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot
from flux_gateway.registry.connect import RedisSettings, connect_blocking
from flux_gateway.registry.reader import RegistryReader
from flux_gateway.runtime import admin_client, config
from flux_gateway.runtime.admin import read_token
from flux_gateway.supervisor.protocol import Answer, NotRunning, Request, ask
from flux_gateway.supervisor.settings import PROXY_ADMIN_PORT, ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir


class Cluster:
    """Settings, registry, token and supervisor of the cluster in a state directory."""

    def __init__(self, state_dir: str | Path) -> None:
        self.state = StateDir(state_dir)
        if not self.state.config.exists():
            raise NotRunning(f"no cluster in {self.state.path}: start one with `flux up`, or give --state-dir")
        try:
            self.settings = config.load(ClusterSettings, "cluster", file=self.state.config)
            self.redis = config.load(RedisSettings, "redis", file=self.state.config)
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"{self.state.config} is damaged: {error}") from error
        self.reader = RegistryReader(connect_blocking(self.redis), heartbeat_life=self.redis.heartbeat_life)

    @property
    def url(self) -> str:
        """WebSocket address of the cluster, without a path."""
        return f"ws://{self.settings.host}:{self.settings.port}"

    @property
    def dashboard_url(self) -> str:
        """Address of the dashboard's page."""
        host = "localhost" if self.settings.dashboard_host == "127.0.0.1" else self.settings.dashboard_host
        return f"http://{host}:{self.settings.dashboard_port}/dashboard"

    def proxy_admin(self, number: int) -> tuple[str, int]:
        """Return the admin address of the proxy of a number from 1."""
        return self.settings.address(2, number), PROXY_ADMIN_PORT

    def ask(self, op: str, patience: float = 10.0, **values: Any) -> Answer:
        """Send a request to the supervisor."""
        return ask(self.state.socket, Request(op=op, **values), patience)

    def snapshot(self) -> Snapshot:
        """Read the registry."""
        return self.reader.snapshot()

    def node(self, node_id: str) -> NodeRecord:
        """Return a node's record. Raises `CommandError` naming the nodes there are."""
        nodes = self.snapshot().nodes
        if node_id not in nodes:
            raise CommandError(f"there is no node {node_id!r}; there are {', '.join(nodes) or 'none'}")
        return nodes[node_id]

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
        return admin_client.post(host, port, path, read_token(str(self.state.token)), who=member_id)


def cluster_of(ctx: click.Context) -> Cluster:
    """Return the cluster that the command line names."""
    return Cluster(ctx.obj["state_dir"])
