"""A whole cluster of our own, started as a user would: `flux up`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import addresses
from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError


@contextmanager
def cluster(folder: Path, gateways: int = 3) -> Iterator[LocalCluster]:
    """Start nodes, one proxy with its keeper, Redis and the dashboard on a network of their own; stop them at the end.
    """
    state = folder / "cluster"
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
        subprocess.run([*flux, "down", "--drain", "0", "--purge"], capture_output=True, check=False)
