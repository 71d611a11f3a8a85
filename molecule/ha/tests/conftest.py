"""The cluster that this scenario has deployed, whole before and after each test."""

from collections.abc import Iterator

import pytest

from tests.hosts.deployed import Deployed

VIP = "10.42.0.250"
"""`flux_vip` of the scenario's host_vars."""


@pytest.fixture(scope="session")
def deployed() -> Deployed:
    """The cluster, reached by its virtual address."""
    hosts = [Deployed.host(name).address for name in ("ha1", "ha2", "ha3")]
    return Deployed(VIP, hosts[0], tuple(f"{address}:26379" for address in hosts))


@pytest.fixture(autouse=True)
def whole(deployed: Deployed) -> Iterator[None]:
    """Every node is UP before a test and again after it, and sessions with the same key meet on one node."""
    deployed.all_up(60)
    yield
    deployed.all_up(60)
    deployed.check_affinity()
