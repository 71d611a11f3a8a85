"""The roles, and whole clusters, on real systemd hosts.

`roles/*/molecule/*/tests` and `molecule/*/tests` do the work."""

from collections.abc import Iterator
from typing import cast

import pytest

from tests.hosts import scenarios
from tests.hosts.scenarios import Running, Scenario

pytestmark = [
    pytest.mark.skipif(bool(scenarios.missing()), reason=scenarios.missing() or "possible"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """The scenarios that this run selects, the roles' first; the clusters' have the machine for themselves."""
    chosen = [
        cast(Scenario, item.callspec.params["scenario"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_a_role_holds_on_real_hosts"
    ]
    started = Running(chosen)
    yield started
    started.stop()


@pytest.mark.parametrize("scenario", scenarios.of_roles(), ids=lambda one: one.title)
def test_a_role_holds_on_real_hosts(running: Running, scenario: Scenario) -> None:
    outcome = running.outcome(scenario.title)
    assert outcome.passed, outcome.output[-6000:]


@pytest.mark.parametrize("scenario", scenarios.of_clusters(), ids=lambda one: one.title)
def test_a_cluster_holds_on_real_hosts(scenario: Scenario) -> None:
    outcome = scenarios.run(scenario)
    assert outcome.passed, outcome.output[-8000:]
