"""A proxy that is away for a while, killed say, brings no pongs: no client may be closed for it."""

import time
from collections.abc import Iterator

import pytest

from tests.integration.gateway.proxy_side import ProxySide
from tests.integration.gateway.wire import CLOSE, PING, close_all
from tests.processes import Daemon, Stack


@pytest.fixture
def side(shared: Stack) -> Iterator[ProxySide]:
    """The proxy."""
    yield ProxySide(shared)
    close_all()


@pytest.fixture
def node(shared: Stack) -> Daemon:
    """A node with little patience: a ping a second, 0.4 s for the pong."""
    return shared.gateway(ping_interval=1, ping_timeout=0.4)


def test_pongs_are_not_missed_while_the_proxy_is_away_and_are_again_when_it_is_back(
    side: ProxySide, node: Daemon
) -> None:
    with side.link(node):
        _, wire = side.open(node)
    until = time.monotonic() + 3.5
    pings = 0
    while time.monotonic() < until:
        arrived = wire.read()
        assert arrived.opcode == PING, "its proxy is away, and still it was closed"
        pings += 1
    assert pings >= 3
    with side.link(node):
        until = time.monotonic() + 5
        while time.monotonic() < until:
            arrived = wire.read()
            if arrived.opcode == CLOSE:
                assert arrived.payload[:2] == (1011).to_bytes(2, "big")
                return
    pytest.fail("a client that answers no ping was never closed")
