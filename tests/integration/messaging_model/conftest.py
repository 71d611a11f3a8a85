"""The world in which the examples play."""

from collections.abc import Iterator

import pytest

from tests.integration.messaging_model.world import World
from tests.processes import Stack


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Redis and the nodes, for all examples."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        world = World(stack)
        yield world
        world.close()
