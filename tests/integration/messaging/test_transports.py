"""Clients that cannot have a WebSocket: HTTP-stream and SSE, with what they send by requests of its own."""

import pytest

from tests.integration.messaging.scene import Scene, fresh
from tests.sdk import javascript
from tests.sdk.client import SdkClient

WAYS = [("http_stream", "json"), ("http_stream", "protobuf"), ("sse", "json")]

pytestmark = pytest.mark.skipif(bool(javascript.why_not()), reason=javascript.why_not() or "the SDK is there")


@pytest.fixture(params=WAYS, ids="-".join)
def client(scene: Scene, request: pytest.FixtureRequest) -> SdkClient:
    """A connected client of each of them."""
    transport, codec = request.param
    scene.whole()
    return scene.connected(("js", codec), transport=transport, node="gateway-1")


def test_it_talks_with_clients_of_websockets(scene: Scene, client: SdkClient) -> None:
    channel = fresh("chat")
    other = scene.connected(node="gateway-2")
    for one in (client, other):
        one.subscribe(channel)
    client.publish(channel, {"text": "hello"})
    other.publish(channel, {"text": "hello to you"})
    for one in (client, other):
        one.wait("publication", channel=channel, where=lambda event: event["offset"] == 2)
        assert [data["text"][:5] for data in one.data(channel)] == ["hello", "hello"]
    assert len(client.presence(channel)) == 2
    assert client.history(channel)["offset"] == 2
    client.unsubscribe(channel)


def test_it_recovers_when_its_node_is_restarted(scene: Scene, client: SdkClient) -> None:
    """Its response ends with the node: unlike a WebSocket it cannot be moved. The SDK comes back by itself."""
    channel = fresh("chat")
    other = scene.connected(node="gateway-2")
    for one in (client, other):
        one.subscribe(channel)
    other.publish(channel, 1)
    client.wait("publication", channel=channel, data=1)
    mark = client.mark
    scene.cluster.flux("restart", "gateway-1")
    other.publish(channel, 2)
    assert client.wait("subscribed", after=mark, channel=channel, timeout=30)["recovered"] is True
    client.wait("publication", channel=channel, data=2)
    assert client.data(channel) == [1, 2]
    assert client.seen("disconnected") == []
    scene.whole()


def test_a_bad_token_ends_it(scene: Scene) -> None:
    for transport, codec in WAYS:
        client = scene.client(("js", codec), transport=transport, tokens=["wrong"])
        client.call("connect")
        assert client.wait("disconnected")["code"] == 3500
