"""Fixtures for tests with Redis: one redis-server for all, one of its own for a test that stops it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.registry.server import RedisServer


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    """The shared server, empty."""
    shared_redis.flush()
    return shared_redis


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may stop and start."""
    own = RedisServer(tmp_path)
    try:
        own.start()
        yield own
    finally:
        own.stop()
