"""Who may connect, for how long, and what a token brings along."""

import jwt
import pytest

from tests.integration.messaging.scene import Scene, fresh, user

Kind = tuple[str, str]


def test_a_token_says_who_the_client_is(scene: Scene, kind: Kind) -> None:
    channel, name = fresh("chat"), user()
    client = scene.connected(kind, tokens=[scene.token(name, info={"color": "red"}, seconds=600)])
    client.subscribe(channel)
    client.publish(channel, 1)
    info = client.wait("publication", channel=channel)["info"]
    assert (info["user"], info["conn_info"]) == (name, {"color": "red"})


@pytest.mark.parametrize("fault", ["another secret", "for a channel", "no token", "unsigned"])
def test_a_token_that_is_none_ends_the_client(scene: Scene, kind: Kind, fault: str) -> None:
    token = {
        "another secret": jwt.encode({"sub": "eve"}, "x" * 32, algorithm="HS256"),
        "for a channel": scene.token("eve", channel="chat:a"),
        "no token": "eve",
        "unsigned": jwt.encode({"sub": "eve"}, "", algorithm="none"),
    }[fault]
    client = scene.client(kind, tokens=[token])
    client.call("connect")
    assert client.wait("disconnected")["code"] == 3500
    assert client.seen("connected") == []


def test_a_client_without_a_token_is_turned_away(scene: Scene, kind: Kind) -> None:
    client = scene.client(kind, tokens=[""])
    client.call("connect")
    # With a callback for tokens the SDK asks that one first, and it has none.
    assert client.wait("disconnected")["code"] == 1


def test_an_expired_token_is_replaced(scene: Scene, kind: Kind) -> None:
    name = user()
    client = scene.client(kind, tokens=[scene.token(name, seconds=-5), scene.token(name, seconds=600)])
    client.connect()
    assert len(client.seen("token")) == 1
    assert client.seen("disconnected") == []


def test_an_expired_token_without_another_ends_the_client(scene: Scene, kind: Kind) -> None:
    client = scene.client(kind, tokens=[scene.token(user(), seconds=-5)])
    client.call("connect")
    assert client.wait("disconnected")["code"] == 1
    assert client.seen("connected") == []


def test_a_connection_is_refreshed_before_it_expires(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("chat")
    client = scene.connected(kind, tokens=[scene.token(name, seconds=2), scene.token(name, seconds=600)])
    client.subscribe(channel)
    mark = client.wait("token", timeout=6)["n"]
    other = scene.connected(kind, node="gateway-2")
    # refresh_grace is 2 s: a connection that was not refreshed is gone by then.
    with pytest.raises(AssertionError, match="not within"):
        client.wait("connecting", after=mark, timeout=3)
    other.publish(channel, "still here")
    client.wait("publication", channel=channel, data="still here")
    assert client.seen("disconnected") == []


def test_a_refresh_with_a_token_of_another_ends_the_client(scene: Scene, kind: Kind) -> None:
    client = scene.connected(kind, tokens=[scene.token(user(), seconds=2), scene.token("eve", seconds=600)])
    assert client.wait("disconnected")["code"] == 3500


def test_a_token_can_subscribe_to_channels(scene: Scene, kind: Kind) -> None:
    channels = [fresh("chat"), fresh("closed")]
    client = scene.connected(kind, tokens=[scene.token(user(), channels=channels)])
    for channel in channels:
        client.wait("subscribed", channel=channel, server=True)


def test_a_token_can_say_more_of_its_subscriptions(scene: Scene, kind: Kind) -> None:
    channel = fresh("closed")
    claims = {channel: {"info": {"seat": 7}, "data": {"welcome": True}}}
    client = scene.connected(kind, tokens=[scene.token(user(), subs=claims)])
    assert client.wait("subscribed", channel=channel, server=True)["data"] == {"welcome": True}
    client.publish(channel, 1)
    event = client.wait("publication", channel=channel, server=True)
    assert (event["data"], event["info"]["chan_info"]) == (1, {"seat": 7})


def test_a_subscription_by_the_server_recovers(scene: Scene, kind: Kind) -> None:
    name, channel = user(), fresh("chat")
    client = scene.connected(kind, tokens=[scene.token(name, channels=[channel])])
    client.wait("subscribed", channel=channel)
    client.disconnect()
    other = scene.connected(kind)
    for number in range(3):
        other.publish(channel, number)
    mark = client.mark
    client.connect()
    assert client.wait("subscribed", after=mark, channel=channel)["recovered"] is True
    client.wait("publication", channel=channel, data=2)
    assert client.data(channel) == [0, 1, 2]
