"""The page of the example chat in a browser, over a cluster of its own."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.browser.conftest import OpenPage, PageOpener
from tests.chat import Chat
from tests.cluster import FluxCluster, start
from tests.unit.dashboard.world import wait_for


@pytest.fixture(scope="module")
def chat_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FluxCluster]:
    """A cluster as `./start.sh` makes it."""
    made = start(tmp_path_factory.mktemp("chat") / "s", "--heartbeat-interval", "1", network=62)
    wait_for(lambda: made.flux("verify", check=False).returncode == 0, "everything verified", 20)
    yield made
    made.flux("down", "--drain", "1", "--purge", check=False)


@pytest.fixture(scope="module")
def chat(chat_cluster: FluxCluster) -> Iterator[Chat]:
    """Its chat."""
    with Chat(chat_cluster.state_dir) as running:
        yield running


def come_in(opened: OpenPage, name: str) -> Any:
    """Enter under a name; return the page."""
    opened.expected.append("401")  # nobody has entered in this browser before
    page = opened.page
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Come in").click()
    page.wait_for_selector('#state[data-state="on"]')
    page.wait_for_selector(f"#people-list li:has-text('{name}')", state="attached")
    return page


def say(page: Any, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def texts(page: Any) -> list[str]:
    found: list[str] = page.locator("#messages li:not(.server) .bubble").all_inner_texts()
    return found


def has(page: Any, count: int) -> bool:
    return len(texts(page)) >= count


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 390])
def test_two_people_talk(chat: Chat, open_page: PageOpener, scheme: str, width: int) -> None:
    here = open_page(chat.url, scheme=scheme, width=width, height=800)
    there = open_page(chat.url)
    here.screenshot("-entry")
    ada, grace = come_in(here, f"Ada {scheme} {width}"), come_in(there, "Grace")
    before = len(texts(ada))
    say(ada, f"Hello from {scheme} {width}. Did you see the node go?")
    grace.wait_for_selector(f".bubble:has-text('{scheme} {width}.')")
    say(grace, "No. Which node?")
    say(grace, "Nothing blinked here.")
    wait_for(partial(has, ada, before + 3), "Ada has heard both")
    say(ada, "Exactly.")
    for page in (ada, grace):
        wait_for(partial(has, page, before + 4), "everybody has heard all")
        assert texts(page)[-2:] == ["Nothing blinked here.", "Exactly."]
    assert ada.locator("#messages li").last.get_attribute("class") == "mine"
    assert ada.evaluate("document.documentElement.scrollWidth") <= width
    if width < 700:
        ada.locator("#people-button").click()
    ada.wait_for_selector("#people-list li:has-text('Grace')")
    here.screenshot("-people" if width < 700 else "")
    if width < 700:
        ada.locator("#people-button").click()
        here.screenshot()
    grace.close()
    ada.wait_for_selector("#people-list li:has-text('Grace')", state="detached")


def test_a_drain_and_a_kill_are_not_seen(chat: Chat, chat_cluster: FluxCluster, open_page: PageOpener) -> None:
    pages = [come_in(open_page(chat.url), name) for name in ("One", "Two", "Three")]
    for page in pages:
        # Whatever the line about the connection says from here on.
        page.evaluate("""() => { window.said = []; new MutationObserver(() => window.said.push(
            document.getElementById("state-text").textContent)).observe(
            document.getElementById("state"), { subtree: true, characterData: true, childList: true }); }""")
    began = len(texts(pages[0]))
    for number in range(10):
        say(pages[number % 3], f"before {number}")
    chat_cluster.flux("restart", "gateway-1")
    for number in range(10):
        say(pages[number % 3], f"drained {number}")
    chat_cluster.flux("kill", "gateway-2")
    for number in range(10):
        say(pages[number % 3], f"killed {number}")
    for page in pages:
        wait_for(partial(has, page, began + 30), "every message is there", 20)
    heard = [texts(page)[began:] for page in pages]
    assert len(heard[0]) == 30
    assert heard[1] == heard[2] == heard[0]
    for part in ("before", "drained", "killed"):
        for speaker in range(3):
            own = [text for text in heard[0] if text.startswith(part) and int(text.split()[1]) % 3 == speaker]
            assert own == sorted(own)
    assert [page.evaluate("window.said") for page in pages] == [[], [], []]


def test_what_redis_cannot_take_goes_out_later(
    chat: Chat, chat_cluster: FluxCluster, open_page: PageOpener
) -> None:
    page = come_in(open_page(chat.url), "Patient")
    say(page, "one")
    page.wait_for_selector(".mine .bubble:has-text('one')")
    chat_cluster.flux("kill", "redis", "--hold", "3")
    say(page, "two")
    page.get_by_text("Sending …").wait_for()
    say(page, "three")
    page.wait_for_selector(".mine .bubble:has-text('three')")
    assert texts(page)[-3:] == ["one", "two", "three"]
    assert page.locator("#waiting").inner_text() == ""
    assert page.get_attribute("#state", "data-state") == "on"


def test_a_reload_is_the_same_person_with_the_same_messages(chat: Chat, open_page: PageOpener) -> None:
    page = come_in(open_page(chat.url), "Reloader")
    say(page, "kept over a reload")
    page.wait_for_selector(".mine .bubble:has-text('kept over a reload')")
    before = texts(page)
    page.reload()
    page.wait_for_selector('#state[data-state="on"]')
    page.wait_for_selector(".mine .bubble:has-text('kept over a reload')")
    assert texts(page) == before
    assert page.locator("#entry").is_hidden()


def test_a_cluster_that_is_down_is_said(chat: Chat, open_page: PageOpener, chat_cluster: FluxCluster) -> None:
    opened = open_page(chat.url)
    opened.expected += ["401", "503"]
    page = opened.page
    chat_cluster.flux("down", "--drain", "1")
    page.get_by_label("Name").fill("Nobody")
    page.get_by_role("button", name="Come in").click()
    page.get_by_text("The cluster does not answer: is it running? ./start.sh starts it.").wait_for()
    opened.screenshot()
