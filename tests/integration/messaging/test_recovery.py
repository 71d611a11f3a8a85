"""Who was away gets what was missed, or is told that it cannot be had."""

from typing import Any

import cent

from tests.integration.messaging.scene import Scene, fresh, offsets
from tests.sdk.client import Event, SdkClient

Kind = tuple[str, str]


def missed(scene: Scene, kind: Kind, channel: str, count: int, **wishes: Any) -> tuple[SdkClient, Event]:
    """Subscribe, see one publication, be away for some more, and return what coming back gives."""
    client = scene.connected(kind, node="gateway-1")
    publisher = scene.connected(kind, node="gateway-2")
    client.subscribe(channel, **wishes)
    publisher.publish(channel, 1)
    client.wait("publication", channel=channel, data=1)
    client.disconnect()
    for number in range(2, 2 + count):
        publisher.publish(channel, number)
    mark = client.mark
    client.connect()
    back = client.wait("subscribed", after=mark, channel=channel)
    publisher.publish(channel, "end")
    client.wait("publication", after=mark, channel=channel, data="end")
    return client, back


def test_a_reconnect_loses_and_doubles_nothing(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    client, back = missed(scene, kind, channel, 20)
    assert (back["was_recovering"], back["recovered"]) == (True, True)
    assert client.data(channel) == [*range(1, 22), "end"]
    assert offsets(client, channel) == list(range(1, 23))


def test_a_subscription_that_resumes_recovers_too(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    client = scene.connected(kind)
    client.subscribe(channel)
    client.unsubscribe(channel)
    client.publish(channel, "missed")
    assert client.subscribe(channel)["recovered"] is True
    client.wait("publication", channel=channel, data="missed")


def test_recovery_is_there_for_those_who_ask(scene: Scene, kind: Kind) -> None:
    channel = fresh("brief")
    client, back = missed(scene, kind, channel, 3, recoverable=True)
    assert back["recovered"] is True
    assert client.data(channel) == [1, 2, 3, 4, "end"]
    channel = fresh("brief")
    client, back = missed(scene, kind, channel, 3)
    assert (back["recoverable"], back["was_recovering"]) == (False, False)
    assert client.data(channel) == [1, "end"]


def test_more_than_is_kept_is_said(scene: Scene, kind: Kind) -> None:
    channel = fresh("brief")
    client, back = missed(scene, kind, channel, 6, recoverable=True)
    assert (back["was_recovering"], back["recovered"]) == (True, False)
    assert client.data(channel) == [1, "end"]


def test_more_than_the_recovery_limit_is_said(scene: Scene) -> None:
    channel = fresh("chat")
    client, back = missed(scene, ("python", "json"), channel, 301)
    assert (back["was_recovering"], back["recovered"]) == (True, False)
    assert client.data(channel) == [1, "end"]
    channel = fresh("chat")
    client, back = missed(scene, ("python", "json"), channel, 300)
    assert back["recovered"] is True
    assert client.data(channel) == [*range(1, 302), "end"]


def test_a_history_that_is_removed_is_not_recovered(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    client = scene.connected(kind)
    epoch = client.subscribe(channel)["epoch"]
    client.disconnect()
    api = scene.api
    api.publish(cent.PublishRequest(channel=channel, data=1))
    api.history_remove(cent.HistoryRemoveRequest(channel=channel))
    mark = client.mark
    client.connect()
    back = client.wait("subscribed", after=mark, channel=channel)
    assert (back["was_recovering"], back["recovered"], back["offset"], back["epoch"]) == (True, False, 1, epoch)


def test_with_a_cache_only_the_newest_comes(scene: Scene, kind: Kind) -> None:
    channel = fresh("price")
    client = scene.connected(kind)
    client.subscribe(channel)
    client.disconnect()
    for price in (10, 11, 12):
        scene.api.publish(cent.PublishRequest(channel=channel, data=price))
    mark = client.mark
    client.connect()
    assert client.wait("subscribed", after=mark, channel=channel)["recovered"] is True
    client.wait("publication", channel=channel, data=12)
    assert client.data(channel) == [12]
