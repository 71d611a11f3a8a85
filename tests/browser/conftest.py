"""Fixtures: a real Chromium, pages that must not report errors, and a dashboard over records that the test writes.

A test of the whole cluster needs only `open_page`, with the cluster's own address.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Fixtures, found by their names.
from tests.unit.dashboard.conftest import admin_port, members, redis_server, token_file  # noqa: F401
from tests.unit.dashboard.process import Dashboard
from tests.unit.dashboard.world import Members, RedisServer, wait_for

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The machine's own Chromium."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no Chromium on PATH")
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=binary, args=ARGUMENTS)
        yield running
        running.close()


class OpenPage:
    """A page, what its console said, and where it asked for things."""

    def __init__(self, page: Any, name: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.expected: list[str] = []
        """Patterns of console errors that the test brings about itself."""
        self._name = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-")
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def unexpected(self) -> list[str]:
        """Errors that no expected pattern covers."""
        return [error for error in self.errors if not any(re.search(pattern, error) for pattern in self.expected)]

    def screenshot(self, suffix: str = "", *, whole: bool = False) -> None:
        """Keep what the page looks like under the name of the test."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self._name}{suffix}.png", full_page=whole)


PageOpener = Callable[..., OpenPage]


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[PageOpener]:
    """Open pages: `open_page(url, width=, height=, scheme=, motion=)`. At the end none may have reported an error."""
    opened: list[tuple[Any, OpenPage]] = []

    def open_one(
        url: str, *, width: int = 1440, height: int = 900, scheme: str = "light", motion: bool = False
    ) -> OpenPage:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="no-preference" if motion else "reduce",
        )
        context.set_default_timeout(10_000)
        page = OpenPage(context.new_page(), request.node.name)
        opened.append((context, page))
        page.page.goto(url)
        page.page.wait_for_selector("main:not([aria-busy])")
        return page

    yield open_one
    for context, _ in opened:
        context.close()
    assert [error for _, page in opened for error in page.unexpected()] == []


@pytest.fixture
def dashboard(
    redis_server: RedisServer, token_file: Path, tmp_path: Path  # noqa: F811
) -> Iterator[Dashboard]:
    """A running dashboard over the test's Redis."""
    started = Dashboard(redis_server.port, tmp_path, "--token-file", str(token_file))
    try:
        wait_for(lambda: started.status("/readyz") == 200, "the dashboard is not ready")
        yield started
    finally:
        started.kill()


@pytest.fixture
def url(dashboard: Dashboard) -> str:
    """The address of the page."""
    return f"http://localhost:{dashboard.port}/dashboard"


@pytest.fixture
def three(members: Members) -> Members:  # noqa: F811
    """Three nodes that are up, with a past, behind one proxy."""
    populate(members, 3)
    return members


def populate(members: Members, count: int) -> None:  # noqa: F811
    """Write so many nodes, one proxy, and 15 minutes for the first three nodes."""
    for number in range(1, count + 1):
        members.node(f"gateway-{number}")
    for number in range(1, min(count, 3) + 1):
        members.past(f"gateway-{number}", seconds=900)
    members.proxy("proxy-1")
