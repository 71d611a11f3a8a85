"""Who is in a channel: presence, its numbers, and the news of those who come and go."""

import time

import pytest

from tests.integration.messaging.scene import Scene, fresh, user
from tests.processes import until
from tests.sdk import javascript
from tests.sdk.client import CallFailed

Kind = tuple[str, str]


def test_everybody_sees_everybody(scene: Scene, kind: Kind) -> None:
    channel, name = fresh("chat"), user()
    tokens = [scene.token(name, info={"name": "Ada"})]
    first = scene.connected(kind, tokens=tokens, node="gateway-1")
    second = scene.connected(kind, tokens=tokens, node="gateway-2")
    third = scene.connected(kind, node="gateway-3")
    for client in (first, second, third):
        client.subscribe(channel)
    ids = {client.seen("connected")[0]["client"] for client in (first, second, third)}
    found = third.presence(channel)
    assert found.keys() == ids
    assert found[first.seen("connected")[0]["client"]] == {
        "user": name, "client": first.seen("connected")[0]["client"], "conn_info": {"name": "Ada"}, "chan_info": None,
    }  # fmt: skip
    assert first.call("presence_stats", channel=channel) == {"num_clients": 3, "num_users": 2}
    second.unsubscribe(channel)
    third.disconnect()
    until(lambda: len(first.presence(channel)) == 1, "two have left", 2)


def test_those_who_come_and_go_are_told_of(scene: Scene, kind: Kind) -> None:
    channel, name = fresh("chat"), user()
    watcher = scene.connected(kind, node="gateway-1")
    watcher.subscribe(channel, join_leave=True)
    watcher.wait("join", channel=channel)  # its own
    other = scene.connected(kind, name, node="gateway-2")
    other.subscribe(channel, join_leave=True)
    joined = watcher.wait("join", channel=channel, where=lambda event: event["info"]["user"] == name)
    assert joined["info"]["client"] == other.seen("connected")[0]["client"]
    other.unsubscribe(channel)
    watcher.wait("leave", channel=channel, where=lambda event: event["info"]["user"] == name)
    assert other.seen("leave") == []


def test_who_does_not_ask_is_not_told(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    quiet, other = scene.connected(kind), scene.connected(kind)
    quiet.subscribe(channel)
    other.subscribe(channel)
    other.publish(channel, "end")
    quiet.wait("publication", channel=channel, data="end")
    assert quiet.seen("join") == []


def test_a_namespace_can_tell_everybody(scene: Scene, kind: Kind) -> None:
    channel, name = fresh("room"), user()
    watcher, other = scene.connected(kind), scene.connected(kind, name)
    watcher.subscribe(channel)
    other.subscribe(channel)
    watcher.wait("join", channel=channel, where=lambda event: event["info"]["user"] == name)
    other.disconnect()
    watcher.wait("leave", channel=channel, where=lambda event: event["info"]["user"] == name)


def test_a_client_that_breaks_off_is_gone_when_it_cannot_be_on_its_way_to_another_node(scene: Scene) -> None:
    if javascript.why_not():
        pytest.skip(javascript.why_not())
    channel, name = fresh("chat"), user()
    watcher, other = scene.connected(), scene.connected(("js", "json"), name)
    for client in (watcher, other):
        client.subscribe(channel, join_leave=True)
    other.stop()  # its process is killed: no close frame
    watcher.wait("leave", channel=channel, timeout=15, where=lambda event: event["info"]["user"] == name)
    assert len(watcher.presence(channel)) == 1


def test_presence_outlives_its_ttl_while_the_client_is_there(scene: Scene) -> None:
    channel = fresh("chat")
    client = scene.connected()
    client.subscribe(channel)
    end = time.monotonic() + 8  # presence_ttl is 6
    while time.monotonic() < end:
        assert len(client.presence(channel)) == 1
        time.sleep(0.5)


@pytest.mark.parametrize(("namespace", "code"), [("room", 108), ("nowhere", 102), ("", 103)])
def test_presence_that_may_not_be_read_is_refused(scene: Scene, kind: Kind, namespace: str, code: int) -> None:
    client = scene.connected(kind)
    for call in ("presence", "presence_stats"):
        with pytest.raises(CallFailed) as failed:
            client.call(call, channel=fresh(namespace))
        assert failed.value.code == code
