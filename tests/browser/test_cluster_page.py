"""The open page while things happen to a real cluster: no reload, no console errors."""

import time

import pytest

from tests.browser.conftest import PageOpener
from tests.cluster import FluxCluster


def test_the_page_follows_a_drain_and_a_kill(cluster: FluxCluster, open_page: PageOpener) -> None:
    opened = open_page(f"http://localhost:{cluster.dashboard_port}/dashboard", width=1280, height=900)
    row = opened.page.locator("tr", has_text="gateway-2").first
    row.get_by_text("Up", exact=True).wait_for(timeout=5000)
    try:
        started = time.monotonic()
        cluster.flux("drain", "gateway-2", "--seconds", "1")
        row.get_by_text("Draining", exact=True).wait_for(timeout=2000)
        assert time.monotonic() - started < 3  # the command itself takes part of a second
        opened.screenshot("-drained")
    finally:
        cluster.flux("undrain", "gateway-2")
    row.get_by_text("Up", exact=True).wait_for(timeout=2000)

    cluster.flux("kill", "gateway-2", "--hold", "40")
    try:
        row.get_by_text("Dead", exact=True).wait_for(timeout=20_000)
        opened.screenshot("-dead")
    finally:
        cluster.flux("restart", "gateway-2")
    row.get_by_text("Up", exact=True).wait_for(timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_busy_cluster(cluster: FluxCluster, open_page: PageOpener, scheme: str) -> None:
    done = cluster.flux("load", "--url", f"{cluster.url}/echo", "--clients", "50", "--rate", "5", "--duration", "4")
    assert done.returncode == 0
    opened = open_page(f"http://localhost:{cluster.dashboard_port}/dashboard", width=1280, height=900, scheme=scheme)
    opened.page.locator("tr", has_text="gateway-3").first.wait_for(timeout=5000)
    opened.screenshot(f"-{scheme}", whole=True)
