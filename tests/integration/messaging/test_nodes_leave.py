"""Nodes are drained, restarted and killed in the middle of a conversation: the SDKs notice nothing, or next to it."""

import os
import signal

import pytest

from flux_gateway.cli.local import LocalCluster
from tests.integration.messaging.conversation import Conversation
from tests.integration.messaging.scene import KINDS, NODES, Scene, fresh
from tests.processes import until
from tests.sdk import javascript
from tests.sdk.client import SdkClient


@pytest.fixture
def people(scene: Scene) -> list[SdkClient]:
    """A client of each kind on each node but the last, connected."""
    kinds = [kind for kind in KINDS if kind[0] != "js" or not javascript.why_not()]
    scene.whole()
    return [scene.connected(kind, node=node) for kind in kinds for node in NODES[:2]]


@pytest.mark.parametrize("namespace", ["chat", ""])
def test_a_drain_is_not_noticed(scene: Scene, people: list[SdkClient], namespace: str) -> None:
    channel = fresh(namespace)
    for client in people:
        client.subscribe(channel)
    with Conversation(people, channel) as talk:
        talk.goes_on()
        scene.cluster.flux("drain", "gateway-1", "--wait")
        talk.goes_on()
        scene.cluster.flux("undrain", "gateway-1")
        scene.cluster.flux("rebalance", "--now")
        talk.goes_on()
    assert talk.refused == []
    talk.nobody_noticed()
    talk.all_heard_all()
    if namespace:
        talk.offsets_have_no_hole()
    for client in people:
        assert client.seen("unsubscribed") == []
        assert len(client.seen("subscribing", channel=channel)) == 1


def test_presence_does_not_flicker_in_a_drain(scene: Scene, people: list[SdkClient]) -> None:
    channel = fresh("chat")
    last = people[-1].seen("connected")[-1]["client"]
    for client in people:
        client.subscribe(channel, join_leave=True)
    before = people[0].presence(channel)
    assert len(before) == len(people)
    for client in people:  # the last join has reached everybody
        client.wait("join", channel=channel, where=lambda event: event["info"]["client"] == last)
    marks = [client.mark for client in people]
    scene.cluster.flux("drain", "gateway-1", "--wait")
    assert people[0].presence(channel) == before
    scene.cluster.flux("undrain", "gateway-1")
    people[0].publish(channel, "end")
    for client, mark in zip(people, marks, strict=True):
        client.wait("publication", after=mark, channel=channel, data="end")
        assert client.seen("join", after=mark) == client.seen("leave", after=mark) == []


def test_a_killed_node_costs_a_recoverable_channel_nothing(scene: Scene, people: list[SdkClient]) -> None:
    channel = fresh("chat")
    for client in people:
        client.subscribe(channel)
    before = people[0].presence(channel)
    with Conversation(people, channel) as talk:
        talk.goes_on()
        scene.cluster.flux("kill", "gateway-1")
        talk.goes_on(100)
    talk.nobody_noticed()
    talk.all_heard_all()
    talk.offsets_have_no_hole()
    resumed = [client for client in people if len(client.seen("subscribed", channel=channel)) > 1]
    assert len(resumed) == len(people) // 2
    for client in resumed:
        assert client.seen("subscribing", channel=channel)[-1]["code"] == 2500
        assert client.seen("subscribed", channel=channel)[-1]["recovered"] is True
    assert people[0].presence(channel) == before
    scene.whole()


def test_a_node_that_hangs_costs_a_recoverable_channel_nothing(scene: Scene, people: list[SdkClient]) -> None:
    channel = fresh("chat")
    for client in people:
        client.subscribe(channel)
    pid = {one.name: one.pid for one in LocalCluster(scene.cluster.state_dir).ask("status").processes}["gateway-1"]
    assert pid is not None
    with Conversation(people, channel) as talk:
        talk.goes_on()
        os.kill(pid, signal.SIGSTOP)
        talk.goes_on(150)
        os.kill(pid, signal.SIGCONT)
        talk.goes_on()
    talk.nobody_noticed()
    talk.all_heard_all()
    talk.offsets_have_no_hole()
    scene.whole()


def test_a_killed_node_costs_a_server_s_subscription_with_history_a_connection(scene: Scene) -> None:
    """Only `connect` tells where the client is in those: it comes anew, and misses nothing."""
    scene.whole()
    channel = fresh("chat")
    client = scene.connected(node="gateway-1", tokens=[scene.token("ada", channels=[channel])])
    other = scene.connected(node="gateway-2")
    client.wait("subscribed", channel=channel)
    mark = client.mark
    for number in range(3):
        other.publish(channel, number)
    scene.cluster.flux("kill", "gateway-1")
    other.publish(channel, 3)
    assert client.wait("connecting", after=mark)["code"] == 3010
    assert client.wait("subscribed", after=mark, channel=channel)["recovered"] is True
    client.wait("publication", channel=channel, data=3)
    assert client.data(channel) == [0, 1, 2, 3]
    scene.whole()


def test_without_anybody_to_reattach_presence_has_no_ghosts(scene: Scene) -> None:
    """The client goes while its node is dead: nobody says goodbye for it, and its entry ends by itself."""
    scene.whole()
    channel = fresh("chat")
    watcher = scene.connected(node="gateway-2")
    gone = scene.connected(node="gateway-3")
    for client in (watcher, gone):
        client.subscribe(channel)
    assert len(watcher.presence(channel)) == 2
    scene.cluster.flux("kill", "gateway-3")
    gone.stop()
    until(lambda: len(watcher.presence(channel)) == 1, "the ghost is gone", 15)  # presence_ttl is 6 s
    scene.whole()
