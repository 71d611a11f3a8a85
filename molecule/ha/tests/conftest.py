"""The cluster that this scenario has deployed, whole before and after each test."""

from collections.abc import Iterator

import pytest

from tests.hosts.deployed import Deployed

HOSTS = {"ha1": "10.42.0.241", "ha2": "10.42.0.242", "ha3": "10.42.0.243"}
VIP = "10.42.0.250"


@pytest.fixture(scope="session")
def deployed() -> Deployed:
    """The cluster, reached by its virtual address."""
    return Deployed(VIP, HOSTS["ha1"], tuple(f"{address}:26379" for address in HOSTS.values()))


@pytest.fixture(autouse=True)
def whole(deployed: Deployed) -> Iterator[None]:
    """Every node is UP before a test and again after it, and sessions with the same key meet on one node."""
    deployed.all_up(60)
    yield
    deployed.all_up(60)
    deployed.check_affinity()
