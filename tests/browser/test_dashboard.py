"""The dashboard in a real browser: it is live, it is honest, and everybody can use it."""

import time
from pathlib import Path
from typing import Any

import pytest

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.timeline import EventKind
from tests.browser.conftest import PageOpener, populate
from tests.unit.dashboard.conftest import TOKEN, AdminPort
from tests.unit.dashboard.process import Dashboard
from tests.unit.dashboard.world import Members, RedisServer, wait_for


def row(node_id: str, state: str = "") -> str:
    return f'#node-rows tr[data-id="{node_id}"]' + (f'[data-shown="{state}"]' if state else "")


def seconds_until(page: Any, selector: str) -> float:
    began = time.monotonic()
    page.wait_for_selector(selector)
    return time.monotonic() - began


def test_a_drain_shows_within_two_seconds_without_a_reload(three: Members, url: str, open_page: PageOpener) -> None:
    opened = open_page(url)
    page = opened.page
    page.evaluate("window.sameDocument = true")
    assert page.inner_text("#verdict") == "All 3 nodes up"
    three.node("gateway-2", EventKind.DRAINING, state=NodeState.DRAINING)
    assert seconds_until(page, row("gateway-2", "DRAINING")) < 2
    assert page.evaluate("window.sameDocument") is True
    assert page.inner_text(row("gateway-2") + " .pills").strip() == "Draining"
    assert page.inner_text("#verdict") == "2 of 3 nodes up"
    assert page.get_attribute('#topology [data-box="gateway-2"]', "data-state") == "DRAINING"
    assert page.locator('#events [data-kind="draining"][data-subject="gateway-2"]').count() == 1
    assert page.inner_text("#announcer") == "gateway-2: draining"
    opened.screenshot()


def test_a_dead_and_a_suspect_node_are_shown(three: Members, url: str, open_page: PageOpener) -> None:
    opened = open_page(url)
    page = opened.page
    three.proxy("proxy-1", links={"gateway-1": "up", "gateway-2": "up", "gateway-3": "suspect"})
    three.lose_heartbeat("gateway-1")
    assert seconds_until(page, row("gateway-1", "DEAD")) < 3
    page.wait_for_selector(row("gateway-3", "SUSPECT"))
    assert "gone" in page.inner_text(row("gateway-1") + " .heartbeat")
    assert page.locator('#topology .edge[data-link="suspect"]').count() == 1
    assert "gateway-1 dead" in page.inner_text("#exceptions")
    three.node("gateway-1", EventKind.RECOVERED)
    three.proxy("proxy-1")
    page.wait_for_selector(row("gateway-1", "UP"))
    page.wait_for_selector(row("gateway-3", "UP"))
    opened.screenshot()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("motion", [True, False])
def test_sessions_that_move_are_seen_on_their_way(
    motion: bool, scheme: str, three: Members, url: str, open_page: PageOpener
) -> None:
    opened = open_page(url, scheme=scheme, motion=motion)
    page = opened.page
    three.node("gateway-3", EventKind.MOVED, connections=0)
    # Twenty of the thirty came back to gateway-2, ten to gateway-1.
    after = {"gateway-1": 20, "gateway-2": 40, "gateway-3": 0}
    three.proxy("proxy-1", nodes=after, moves={"move": 30, "reattach": 0, "failed": 0})
    page.wait_for_selector('#topology .moves [data-from="gateway-3"][data-to="gateway-2"][data-sessions="20"]')
    assert page.locator("#topology .moves [data-from]").count() == 2
    if motion:
        page.wait_for_selector("#topology .moves .dot-moving")
        page.wait_for_timeout(500)
    else:
        assert page.locator("#topology .moves .way").count() == 4
        assert page.locator("#topology .moves .dot-moving").count() == 0
    opened.screenshot()
    assert "gave sessions away" in page.inner_text('#events [data-kind="moved"][data-subject="gateway-3"]')
    assert page.inner_text('#proxy-rows tr[data-id="proxy-1"] [data-label="Sessions moved"]') == "30"
    # It lasts as long as it takes to see it.
    wait_for(lambda: page.locator("#topology .moves *").count() == 0, "the ways stay lit")

    three.proxy("proxy-1", nodes={"gateway-1": 60}, moves={"move": 30, "reattach": 40, "failed": 2})
    page.wait_for_selector('#topology .moves [data-state="SUSPECT"][data-from="gateway-2"][data-to="gateway-1"]')
    assert "sessions moved: 30, 40 reattached, 2 failed" in page.inner_text("#verdict-more")


def test_clients_that_come_and_go_are_no_moves(three: Members, url: str, open_page: PageOpener) -> None:
    page = open_page(url).page
    three.proxy("proxy-1", nodes={"gateway-1": 40, "gateway-2": 0}, connections=40)
    page.get_by_text("40 client connections").wait_for()
    # A proxy that takes over its connections after a restart counts from 0 again, and so does this one.
    three.proxy("proxy-1", nodes={"gateway-1": 10, "gateway-2": 31}, connections=41, started_at=time.time(),
                moves={"move": 0, "reattach": 0, "failed": 0})  # fmt: skip
    page.get_by_text("41 client connections").wait_for()
    assert page.locator("#topology .moves [data-from]").count() == 0


def test_sparklines_are_filled_when_the_page_opens(three: Members, url: str, open_page: PageOpener) -> None:
    page = open_page(url).page
    line = page.get_attribute(row("gateway-1") + " .spark-line", "d")
    # 15 minutes, one sample each 5 s.
    assert line.count("L") > 170
    assert page.get_attribute("#tiles .spark-line", "d").count("L") > 80


def test_everything_comes_from_the_dashboard_itself(three: Members, url: str, open_page: PageOpener) -> None:
    opened = open_page(url)
    own = url.removesuffix("/dashboard")
    assert opened.requests
    assert [request for request in opened.requests if not request.startswith(own)] == []


def test_drain_and_undrain_with_the_keyboard_alone(
    members: Members, admin_port: AdminPort, url: str, open_page: PageOpener
) -> None:
    for number in (1, 2):
        members.node(f"gateway-{number}", admin_port=admin_port.number)
    opened = open_page(url)
    page = opened.page
    page.wait_for_selector(row("gateway-1", "UP"))
    assert page.get_by_role("button", name="Drain gateway-1").count() == 0
    tab_to(page, "Unlock")
    page.keyboard.press("Enter")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Lock", exact=True).wait_for()
    tab_to(page, "Drain gateway-1")
    page.keyboard.press("Enter")
    wait_for(lambda: admin_port.asked == [("/drain", f"Bearer {TOKEN}")], "the drain did not reach the node")
    members.node("gateway-1", EventKind.DRAINING, state=NodeState.DRAINING)
    page.get_by_role("button", name="Undrain gateway-1").wait_for()
    assert focused(page) == "Undrain gateway-1"
    opened.screenshot()
    page.keyboard.press("Enter")
    wait_for(lambda: admin_port.asked[1:] == [("/undrain", f"Bearer {TOKEN}")], "the undrain did not reach the node")
    # The last node that is up is not drained without a question, and Escape is a no.
    tab_to(page, "Drain gateway-2")
    page.keyboard.press("Enter")
    page.wait_for_selector("#confirm[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#confirm", state="hidden")
    assert len(admin_port.asked) == 2


def focused(page: Any) -> str:
    name: str = page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
    return name


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the control of that name has the focus, and see that the focus can be seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page) == name:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"{name} cannot be reached with Tab")


def test_a_wrong_token_is_refused(three: Members, url: str, open_page: PageOpener) -> None:
    opened = open_page(url)
    opened.expected.append("403")
    page = opened.page
    page.get_by_role("button", name="Unlock").click()
    page.get_by_label("Admin token").fill("not the token")
    page.keyboard.press("Enter")
    page.get_by_text("That is not the cluster's admin token.").wait_for()
    page.keyboard.press("Escape")
    assert "Read-only" in page.inner_text("#session")


def test_the_page_says_when_its_data_is_stale(
    three: Members, redis_server: RedisServer, url: str, open_page: PageOpener
) -> None:
    opened = open_page(url)
    page = opened.page
    redis_server.stop()
    assert seconds_until(page, "#banner:not([hidden])") < 5
    assert "Stale since" in page.inner_text("#banner")
    assert page.inner_text("#link-text") == "Stale"
    assert page.locator("#node-rows tr").count() == 3
    assert page.inner_text(row("gateway-1") + " .heartbeat") == "unknown"
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.locator("#banner").bounding_box()["y"] >= 0
    opened.screenshot()
    redis_server.start()
    page.wait_for_selector("#banner", state="hidden")
    page.get_by_text("No node has registered yet").wait_for()


def test_a_dashboard_restart_keeps_time_line_and_page(
    three: Members, dashboard: Dashboard, redis_server: RedisServer, tmp_path: Path, url: str, open_page: PageOpener
) -> None:
    three.node("gateway-2", EventKind.DRAINING, state=NodeState.DRAINING)
    opened = open_page(url)
    opened.expected.append("net::ERR_")
    page = opened.page
    page.evaluate("window.sameDocument = true")
    page.wait_for_selector('#events [data-kind="draining"]')
    dashboard.stop()
    page.wait_for_selector('#link[data-link="lost"]')
    again = Dashboard(redis_server.port, tmp_path, port=dashboard.port)
    try:
        page.wait_for_selector('#link[data-link="live"]')
        assert page.locator('#events [data-kind="draining"]').count() == 1
        assert page.evaluate("window.sameDocument") is True
        three.node("gateway-2", EventKind.UNDRAINED, state=NodeState.UP)
        page.wait_for_selector(row("gateway-2", "UP"))
        assert page.locator("#events .event").count() == 2
        # The page asks for the past once the new dashboard has read it.
        line = page.locator(row("gateway-1") + " .spark-line").first
        wait_for(lambda: (line.get_attribute("d") or "").count("L") > 170, "the past has not come back")
    finally:
        again.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(scheme: str, three: Members, url: str, open_page: PageOpener) -> None:
    three.node("gateway-1", state=NodeState.STARTING)
    three.node("gateway-2", state=NodeState.DRAINING)
    three.node("gateway-4", state=NodeState.STOPPED)
    three.node("gateway-5")
    three.lose_heartbeat("gateway-5")
    three.proxy("proxy-1", links={"gateway-3": "down"})
    opened = open_page(url, scheme=scheme)
    page = opened.page
    page.wait_for_selector(row("gateway-5", "DEAD"))
    page.wait_for_selector(row("gateway-3", "SUSPECT"))
    opened.screenshot(whole=True)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 12
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
    assert dark == (scheme == "dark")


CONTRASTS = """() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const rgb = parse(getComputedStyle(node).backgroundColor);
      if (rgb.length < 4 || rgb[3] === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const found = {};
  const texts = ".pill, .muted, .address, .unit, .event em, .event time, .legend li, th, .tile-name, .button";
  for (const node of document.querySelectorAll(texts)) {
    if (!node.offsetParent || node.closest(".is-gone")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    found[`${node.className || node.tagName} ${node.textContent.trim()}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""


OUTSIDE = """(width) => [...document.querySelectorAll("main *, .top *")]
  .filter((node) => !node.closest("thead, .hidden") && node.getBoundingClientRect().right > width + 1)
  .map((node) => node.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_needs_no_sideways_scrolling(
    width: int, count: int, members: Members, url: str, open_page: PageOpener
) -> None:
    populate(members, count)
    opened = open_page(url, width=width, height=844)
    page = opened.page
    page.wait_for_selector(row(f"gateway-{count}", "UP"))
    page.get_by_role("button", name="Unlock").click()
    page.get_by_label("Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name=f"Drain gateway-{count}", exact=True).scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE, width) == []
    page.evaluate("scrollTo(0, 0)")
    opened.screenshot(whole=count == 3)


def test_a_hundred_nodes_stay_readable(members: Members, url: str, open_page: PageOpener) -> None:
    populate(members, 100)
    opened = open_page(url)
    page = opened.page
    page.wait_for_selector(row("gateway-100", "UP"))
    assert page.locator("#topology .is-node").count() == 100
    ids = page.evaluate("[...document.querySelectorAll('#node-rows tr')].map((row) => row.dataset.id)")
    assert ids == [f"gateway-{number}" for number in range(1, 101)]
    # The page's policy forbids eval, and with it Playwright's wait_for_function.
    wait_for(lambda: page.inner_text(row("gateway-1") + " .share").strip().endswith("%"), "no share of slots")
    opened.screenshot()
    members.node("gateway-57", EventKind.DRAINING, state=NodeState.DRAINING)
    assert seconds_until(page, row("gateway-57", "DRAINING")) < 2
    page.get_by_label("Find").fill("draining")
    assert page.locator("#node-rows tr").count() == 1
    page.get_by_label("Find").fill("")
    page.get_by_label("Sort by").select_option("state")
    assert page.locator("#node-rows tr").first.get_attribute("data-id") == "gateway-57"
    page.locator('#topology [data-node="gateway-90"]').click()
    in_sight = "document.querySelector('#node-gateway-90').getBoundingClientRect().bottom < innerHeight"
    wait_for(lambda: page.evaluate(in_sight), "a click on a node does not lead to its row")


def test_more_pages_than_streams_still_show_what_is_true(
    three: Members, redis_server: RedisServer, tmp_path: Path, open_page: PageOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_DASHBOARD_THREADS", "5")
    small = Dashboard(redis_server.port, tmp_path)
    try:
        wait_for(lambda: small.status("/readyz") == 200, "the dashboard is not ready")
        address = f"http://localhost:{small.port}/dashboard"
        first, second = open_page(address), open_page(address)
        second.expected.append("503")
        second.page.get_by_text("Live, every 5 s").wait_for()
        three.node("gateway-1", EventKind.DRAINING, state=NodeState.DRAINING)
        assert seconds_until(second.page, row("gateway-1", "DRAINING")) < 8
        first.page.close()
        second.page.close()
    finally:
        small.kill()
