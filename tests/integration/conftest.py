"""Daemons shared by the tests of a module, and a stack of its own for a test that breaks things."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.wire import close_all
from tests.processes import Daemon, Stack


@pytest.fixture(autouse=True)
def no_connection_stays() -> Iterator[None]:
    """Close what a test has left open."""
    yield
    close_all()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with Redis, for a whole module."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.redis()
        yield stack


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An empty stack, for one test."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def proxy(shared: Stack) -> Daemon:
    """A proxy with two gateways behind it, all with usual settings."""
    for _ in range(2):
        shared.gateway(wait=False)
    for gateway in shared.nodes:
        gateway.wait_ready()
    return shared.proxy()


@pytest.fixture(scope="module")
def node(shared: Stack) -> Daemon:
    """A gateway with usual settings."""
    return shared.gateway()
