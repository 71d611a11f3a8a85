"""For all tests: one running cluster, and with CI=true a skip is a failure, since nobody would look at it."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.cluster import FluxCluster, start


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Turn a skip into a failure where `CI=true`."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped where CI=true: {reason}"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FluxCluster]:
    """A cluster of three gateways for tests that leave it as they found it."""
    running = start(tmp_path_factory.mktemp("flux") / "state", "--heartbeat-interval", "1", "--drain-timeout", "5")
    try:
        yield running
    finally:
        running.flux("down", "--drain", "1", check=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser's tests last: Playwright leaves an event loop running in the main thread."""
    items.sort(key=lambda item: "tests/browser/" in item.nodeid)
