"""A whole cluster, started by `flux up` as a user would, on addresses of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NETWORK = 50
"""Second byte of the cluster's loopback addresses: 127.50.1.1 and so on."""


class FluxCluster:
    """Runs `flux` commands against one state directory."""

    def __init__(self, state_dir: Path, port: int, dashboard_port: int) -> None:
        self.state_dir = state_dir
        self.port = port
        self.dashboard_port = dashboard_port
        self.url = f"ws://127.0.0.1:{port}"

    def flux(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command; with `check`, fail the test with its output when its exit status is not 0."""
        command = [sys.executable, "-m", "flux_gateway", "--state-dir", str(self.state_dir), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "120"}, check=False,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"flux {' '.join(arguments)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.flux(*arguments, "--json").stdout)

    def states(self) -> dict[str, str]:
        """Return the state of each node."""
        return {node["id"]: node["state"] for node in self.json("status")["nodes"]}


def free_port() -> int:
    """Return a port that is free on 127.0.0.1 at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(state_dir: Path, *options: str, network: int = NETWORK) -> FluxCluster:
    """Start a cluster with `flux up`."""
    cluster = FluxCluster(state_dir, free_port(), free_port())
    cluster.flux(
        "up", "--network", str(network), "--port", str(cluster.port), "--dashboard-port", str(cluster.dashboard_port),
        *options,
    )  # fmt: skip
    return cluster
