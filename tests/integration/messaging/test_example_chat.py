"""What issue 5 is done by: the example chat goes on, in order, while every node is restarted and one is killed."""

from collections.abc import Iterator

import pytest

from tests.chat import FOLDER, Chat
from tests.integration.messaging.conversation import Conversation
from tests.integration.messaging.scene import KINDS, NODES, Scene, key_of, running
from tests.processes import until
from tests.sdk import javascript

SDK = javascript.FOLDER / "node_modules" / "centrifuge"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A cluster as `./start.sh` makes it."""
    with running(tmp_path_factory.mktemp("chat") / "s", 60) as made:
        yield made


@pytest.mark.timeout(240)
@pytest.mark.skipif(bool(javascript.why_not()), reason=javascript.why_not() or "the SDK is there")
def test_everybody_hears_everything_in_order_through_restarts_and_a_kill(scene: Scene) -> None:
    with Chat(scene.cluster.state_dir) as chat:
        people, channel = [], ""
        for kind in KINDS:
            for node in NODES:
                ticket = chat.enter(f"{kind[0]} at {node}")
                url = f"ws://127.0.0.1:{ticket['port']}/connection/websocket?session={key_of(node)}"
                assert url.startswith(scene.url)
                channel = ticket["channel"]
                people.append(scene.client(kind, node=node, tokens=[ticket["token"]]))
        for client in people:
            client.connect()
            client.subscribe(channel, join_leave=True)
        before = people[0].presence(channel)
        assert {one["conn_info"]["name"] for one in before.values()} == {
            f"{kind[0]} at {node}" for kind in KINDS for node in NODES
        }
        with Conversation(people, channel) as talk:
            talk.goes_on(50)
            scene.cluster.flux("rolling-restart")
            talk.goes_on(50)
            scene.cluster.flux("kill", "gateway-2")
            talk.goes_on(600)  # longer than the 5 s after which an SDK gives an answer up
            late = chat.enter("late")
            newcomer = scene.connected(("js", "json"), tokens=[late["token"]])
            newcomer.subscribe(channel)
            talk.goes_on(20)
            assert newcomer.data(channel)
            newcomer.disconnect()
    talk.nobody_noticed()
    talk.all_heard_all()
    talk.offsets_have_no_hole()
    # What was under way inside the killed node got no answer; nothing else was refused.
    assert len(talk.refused) <= len(people) // len(NODES)
    until(lambda: people[0].presence(channel) == before, "the newcomer has gone, everybody else is there", 2)
    scene.whole()


@pytest.mark.skipif(bool(javascript.why_not()), reason=javascript.why_not() or "the SDK is there")
def test_the_page_has_the_published_sdk() -> None:
    vendored = FOLDER / "static" / "centrifuge.js"
    assert vendored.read_bytes() == (SDK / "dist" / "centrifuge.js").read_bytes()
    for licence in (SDK / "LICENSE", SDK.parent / "events" / "LICENSE"):
        assert licence.read_text() in (FOLDER / "static" / "centrifuge.LICENSE.txt").read_text()
