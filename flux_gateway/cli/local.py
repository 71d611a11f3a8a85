"""The cluster of this machine: found through the state directory that `flux up` makes."""

import tomllib
from pathlib import Path
from typing import Any

from flux_gateway.cli.cluster import Cluster
from flux_gateway.core.errors import CommandError
from flux_gateway.registry.connect import RedisSettings
from flux_gateway.runtime import config
from flux_gateway.supervisor import messaging
from flux_gateway.supervisor.protocol import Answer, NotRunning, Request, ask
from flux_gateway.supervisor.settings import ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir


class LocalCluster(Cluster):
    """Settings, registry, token and supervisor of the cluster in a state directory.

    Raises `NotRunning` if there is none.
    """

    def __init__(self, state_dir: str | Path) -> None:
        self.state = StateDir(state_dir)
        if not self.state.config.exists():
            raise NotRunning(
                f"no cluster in {self.state.path}: start one with `flux up`, or give --state-dir (a cluster of this "
                "machine) or --deployed (one on other hosts)"
            )
        try:
            self.settings = config.load(ClusterSettings, "cluster", file=self.state.config)
            self.redis = config.load(RedisSettings, "redis", file=self.state.config)
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"{self.state.config} is damaged: {error}") from error
        self.url = f"ws://{self.settings.host}:{self.settings.port}"
        host = "localhost" if self.settings.dashboard_host == "127.0.0.1" else self.settings.dashboard_host
        self.dashboard_url = f"http://{host}:{self.settings.dashboard_port}/dashboard"
        self.title = f"cluster of this machine, {self.url}, state in {self.state.path}"
        self.token_file = str(self.state.token)

    @property
    def api_key_file(self) -> str:
        """The key's file that the nodes were given."""
        return messaging.api_key_file(self.state)

    def ask(self, op: str, patience: float = 10.0, **values: Any) -> Answer:
        """Send a request to the supervisor."""
        return ask(self.state.socket, Request(op=op, **values), patience)
