"""What is too much gets its code, and nothing else happens."""

import pytest

from tests.integration.messaging.scene import Scene, fresh
from tests.sdk.client import CallFailed, SdkClient

Kind = tuple[str, str]

LIMIT = 12
"""`channel_limit` of rules.toml; the personal channel is one of them."""


def refused(client: SdkClient, channel: str) -> int:
    """Return the code with which a subscription ends."""
    mark = client.mark
    client.begin_subscribe(channel)
    code: int = client.wait("unsubscribed", after=mark, channel=channel)["code"]
    return code


def test_one_channel_too_many_is_refused(scene: Scene, kind: Kind) -> None:
    client = scene.connected(kind)
    channels = [fresh() for _ in range(LIMIT - 1)]
    for channel in channels:
        client.subscribe(channel)
    assert refused(client, fresh()) == 106
    client.unsubscribe(channels[0])
    client.subscribe(fresh())
    assert client.seen("disconnected") == []


def test_a_name_that_is_too_long_is_refused(scene: Scene, kind: Kind) -> None:
    client = scene.connected(kind)
    assert refused(client, "x" * 256) == 107
    client.subscribe("x" * 255)


@pytest.mark.parametrize(
    ("channel", "code"),
    [("nowhere:a", 102), ("short:abcd", 107), ("chat:ä", 107), ("closed:a", 103), ("$secret", 103)],
)
def test_a_channel_that_may_not_be_is_refused(scene: Scene, kind: Kind, channel: str, code: int) -> None:
    client = scene.connected(kind)
    assert refused(client, channel) == code
    assert client.seen("disconnected") == []


def test_publishing_needs_the_right(scene: Scene, kind: Kind) -> None:
    client = scene.connected(kind)
    channel = fresh()
    with pytest.raises(CallFailed) as failed:
        client.publish(channel, 1)
    assert failed.value.code == 103
    client.subscribe(channel)
    client.publish(channel, 1)


def test_a_message_that_is_too_large_ends_the_connection(scene: Scene, kind: Kind) -> None:
    client = scene.connected(kind)
    client.publish(fresh("chat"), "x" * 60_000)
    mark = client.mark
    with pytest.raises(CallFailed):
        client.publish(fresh("chat"), "x" * 66_000)
    # RFC 6455 has 1009 for it, which both SDKs show as their own code 3. It is final for JavaScript; Python comes back.
    assert client.wait("disconnected" if kind[0] == "js" else "connecting", after=mark)["code"] == 3
