"""A whole cluster of our own, started as a user would: `flux up`."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import addresses
from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError

_ATTEMPTS = 3
"""On a busy machine a supervisor that stops answers too late."""


@contextmanager
def cluster(folder: Path, gateways: int = 3) -> Iterator[LocalCluster]:
    """Start nodes, one proxy with its keeper, Redis and the dashboard on a network of their own; stop them at the end.
    """
    state = Path(tempfile.mkdtemp(prefix="cluster-", dir=folder))
    flux = [sys.executable, "-m", "flux_gateway", "--state-dir", str(state)]
    options = {
        "--gateways": gateways,
        "--network": addresses.CLUSTER_NETWORK,
        "--host": addresses.CLUSTER_HOST,
        "--port": addresses.CLUSTER_PORT,
        "--dashboard-port": addresses.CLUSTER_DASHBOARD_PORT,
        "--redis-port": addresses.CLUSTER_REDIS_PORT,
    }
    try:
        argv = [*flux, "up", *(str(part) for option in options.items() for part in option)]
        started = subprocess.run(argv, capture_output=True, text=True, check=False)
        if started.returncode:
            raise CommandError(f"the cluster did not start: {started.stderr.strip()}")
        yield LocalCluster(state)
    finally:
        _down([*flux, "down", "--drain", "0", "--purge"])


def _down(argv: list[str]) -> None:
    """Stop the cluster, whatever it takes: the next one needs its addresses."""
    for _ in range(_ATTEMPTS):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if not done.returncode:
            return
    raise CommandError(f"the cluster did not stop: {done.stderr.strip()}")
