"""One cluster for all tests of messaging that leave it as they found it, and its clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.messaging.scene import KINDS, NODES, Scene, running
from tests.sdk import javascript

RULES = Path(__file__).parent / "rules.toml"


@pytest.fixture(scope="package")
def shared_scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three nodes behind one proxy, with the rules of rules.toml."""
    with running(tmp_path_factory.mktemp("messaging") / "s", 59, "--messaging", str(RULES)) as scene:
        yield scene


@pytest.fixture
def scene(shared_scene: Scene) -> Iterator[Scene]:
    """The cluster; clients that a test made are stopped at its end."""
    yield shared_scene
    shared_scene.close()


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each SDK with each codec."""
    found: tuple[str, str] = request.param
    if found[0] == "js" and javascript.why_not():
        pytest.skip(javascript.why_not())
    return found


@pytest.fixture
def elsewhere() -> tuple[str, str]:
    """Two nodes, for clients that must not share one."""
    return NODES[0], NODES[1]
