"""The cluster that this scenario has deployed, whole before and after each test."""

from collections.abc import Iterator

import pytest

from tests.hosts.deployed import Deployed


@pytest.fixture(scope="session")
def deployed() -> Deployed:
    """The cluster."""
    return Deployed(Deployed.host("lb1").address, Deployed.host("redis1").address)


@pytest.fixture(autouse=True)
def whole(deployed: Deployed) -> Iterator[None]:
    """Every node is UP before a test and again after it, and sessions with the same key meet on one node."""
    deployed.all_up()
    yield
    deployed.all_up(60)
    deployed.check_affinity()
