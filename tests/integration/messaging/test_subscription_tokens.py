"""Channels that are not for everybody: private, user-limited and personal ones."""

import cent
import pytest

from tests.integration.messaging.scene import Scene, fresh, user
from tests.sdk.client import CallFailed

Kind = tuple[str, str]


def test_a_private_channel_opens_to_its_token(scene: Scene, kind: Kind) -> None:
    name, channel = user(), "$" + fresh("chat")
    client, other = scene.connected(kind, name), scene.connected(kind)
    client.subscribe(channel, tokens=[scene.subscribe_token(name, channel, info={"seat": 7})])
    found = client.presence(channel)
    assert [one["chan_info"] for one in found.values()] == [{"seat": 7}]
    other.begin_subscribe(channel)
    assert other.wait("unsubscribed", channel=channel)["code"] == 103


def test_a_closed_namespace_opens_to_a_token(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("closed")
    client = scene.connected(kind, name)
    client.subscribe(channel, tokens=[scene.subscribe_token(name, channel)])
    client.publish(channel, 1)
    client.wait("publication", channel=channel, data=1)


def test_a_token_with_a_wrong_signature_is_refused(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("closed")
    client = scene.connected(kind, name)
    client.begin_subscribe(channel, tokens=[scene.subscribe_token(name, channel) + "x"])
    assert client.wait("unsubscribed", channel=channel)["code"] == 103
    assert client.seen("disconnected") == []


@pytest.mark.parametrize("of", ["another user", "another channel", "another client"])
def test_a_token_for_something_else_ends_the_client(scene: Scene, kind: Kind, of: str) -> None:
    name, channel = user(), fresh("closed")
    token = {
        "another user": scene.subscribe_token("eve", channel),
        "another channel": scene.subscribe_token(name, fresh("closed")),
        "another client": scene.subscribe_token(name, channel, client="somebody"),
    }[of]
    client = scene.connected(kind, name)
    client.begin_subscribe(channel, tokens=[token])
    assert client.wait("disconnected")["code"] == 3500


def test_an_expired_token_is_replaced(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("closed")
    client = scene.connected(kind, name)
    tokens = [scene.subscribe_token(name, channel, seconds=seconds) for seconds in (-5, 600)]
    client.subscribe(channel, tokens=tokens)
    assert len(client.seen("token", channel=channel)) == 1


def test_a_subscription_is_refreshed_before_it_expires(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("closed")
    client = scene.connected(kind, name)
    tokens = [scene.subscribe_token(name, channel, seconds=seconds) for seconds in (2, 600)]
    client.subscribe(channel, tokens=tokens)
    mark = client.wait("token", channel=channel, timeout=6)["n"]
    with pytest.raises(AssertionError, match="not within"):
        client.wait("subscribing", after=mark, channel=channel, timeout=3)
    client.publish(channel, 1)
    client.wait("publication", channel=channel, data=1)
    assert client.seen("unsubscribed") == []


def test_a_subscription_without_another_token_ends(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("closed")
    client = scene.connected(kind, name)
    client.subscribe(channel, tokens=[scene.subscribe_token(name, channel, seconds=2)])
    assert client.wait("unsubscribed", channel=channel)["code"] == 1
    assert client.seen("disconnected") == []


def test_a_user_limited_channel_is_for_those_it_names(scene: Scene, kind: Kind) -> None:
    ada, bob, eve = user(), user(), user()
    channel = f"{fresh('limited')}#{ada},{bob}"
    for name in (ada, bob):
        scene.connected(kind, name).subscribe(channel)
    other = scene.connected(kind, eve)
    other.begin_subscribe(channel)
    assert other.wait("unsubscribed", channel=channel)["code"] == 103


def test_a_personal_channel_is_there_by_itself(scene: Scene, kind: Kind) -> None:
    name = user()
    channel = f"personal:#{name}"
    two = [scene.connected(kind, name, node=node) for node in ("gateway-1", "gateway-2")]
    for client in two:
        client.wait("subscribed", channel=channel, server=True)
    scene.api.publish(cent.PublishRequest(channel=channel, data={"for": name}))
    for client in two:
        assert client.wait("publication", channel=channel, server=True)["data"] == {"for": name}
    with pytest.raises(CallFailed) as failed:
        scene.connected(kind).publish(channel, 1)
    assert failed.value.code == 103
