"""The cluster on two hosts, whole before and after each test."""

from collections.abc import Iterator

import pytest

from tests.hosts.deployed import Deployed
from tests.hosts.machine import Machine


@pytest.fixture(scope="session")
def first() -> Machine:
    """The host of the proxy."""
    return Deployed.host("pair1")


@pytest.fixture(scope="session")
def deployed(first: Machine) -> Deployed:
    """The cluster."""
    return Deployed(first.address, first.address)


@pytest.fixture(autouse=True)
def whole(deployed: Deployed, first: Machine) -> Iterator[None]:
    """Both nodes are UP, and the proxy may be started often: five times within 30 s it counts as broken."""
    first.exec("systemctl", "reset-failed", "flux-proxy.service")
    deployed.all_up()
    yield
    deployed.all_up()
