"""Redis is stopped, wiped, restarted with and without its data: connections stay, and nobody is lied to."""

import shutil
import time

import cent
import pytest

from tests.integration.messaging.scene import Scene, fresh, offsets, user
from tests.processes import until
from tests.sdk.client import CallFailed, SdkClient

Kind = tuple[str, str]

QUICK = 1.5
"""Seconds in which an answer comes that waits for nobody."""


def try_to_publish(client: SdkClient, channel: str, data: object) -> int:
    """Return 0, or the code of the error. It must come quickly either way."""
    began = time.monotonic()
    try:
        client.publish(channel, data)
        code = 0
    except CallFailed as error:
        code = error.code
    assert time.monotonic() - began < QUICK
    return code


def works_again(client: SdkClient, channel: str) -> None:
    until(lambda: try_to_publish(client, channel, "again") == 0, "Redis is back", 30)


def calm(client: SdkClient) -> None:
    """The SDK has connected once, and told of nothing else."""
    assert len(client.seen("connecting")) == 1
    assert client.seen("disconnected") == []


@pytest.fixture
def two(scene: Scene, kind: Kind) -> list[SdkClient]:
    """Two clients of different nodes."""
    scene.whole()
    return [scene.connected(kind, node=node) for node in ("gateway-1", "gateway-2")]


def test_redis_stopped_for_twenty_seconds(scene: Scene, two: list[SdkClient]) -> None:
    one, other = two
    channel, plain = fresh("chat"), fresh()
    for client in two:
        client.subscribe(channel)
        client.subscribe(plain)
    for number in range(5):
        one.publish(channel, number)
    scene.cluster.flux("kill", "redis", "--hold", "20")
    began = time.monotonic()
    until(lambda: try_to_publish(one, channel, "lost") == 100, "the node knows", 3)
    while time.monotonic() - began < 15:
        assert try_to_publish(other, channel, "lost") == 100
        assert try_to_publish(other, plain, "lost") == 100
        for call in ("presence", "history"):
            with pytest.raises(CallFailed) as failed:
                getattr(other, call)(channel)
            assert failed.value.code == 100
        time.sleep(0.5)
    with pytest.raises(cent.CentApiResponseError) as refused:
        scene.api.publish(cent.PublishRequest(channel=channel, data="lost"))
    assert refused.value.code == 100
    mark = one.mark
    for client in two:
        works_again(client, channel)
    for number in range(5, 10):
        other.publish(channel, number)
    works_again(other, plain)
    other.publish(plain, "end")
    for client in two:
        client.wait("publication", channel=channel, data=9)
        client.wait("publication", channel=plain, data="end")
        heard = [data for data in client.data(channel) if isinstance(data, int)]
        assert heard == list(range(10))
        seen = offsets(client, channel)
        assert seen == list(range(1, len(seen) + 1))
        calm(client)
    assert one.seen("unsubscribed", after=mark) == []
    scene.whole()


def test_a_client_that_comes_while_redis_is_away_is_let_in_later(scene: Scene, kind: Kind) -> None:
    scene.whole()
    channel = fresh("chat")
    scene.cluster.flux("kill", "redis", "--hold", "4")
    client = scene.client(kind, user())
    client.call("connect")
    client.begin_subscribe(channel)
    client.wait("subscribed", channel=channel, timeout=25)
    assert client.seen("disconnected") == []
    scene.whole()


def test_redis_wiped_is_a_new_epoch(scene: Scene, two: list[SdkClient]) -> None:
    one, channel = two[0], fresh("chat")
    epochs = {client.subscribe(channel)["epoch"] for client in two}
    one.publish(channel, "before")
    for client in two:
        client.wait("publication", channel=channel, data="before")
    scene.cluster.flux("redis", "FLUSHALL")
    said_so(two, channel, epochs)


def test_redis_restarted_empty_is_a_new_epoch(scene: Scene, two: list[SdkClient]) -> None:
    one, channel = two[0], fresh("chat")
    epochs = {client.subscribe(channel)["epoch"] for client in two}
    one.publish(channel, "before")
    for client in two:
        client.wait("publication", channel=channel, data="before")
    scene.cluster.flux("kill", "redis", "--hold", "3")
    shutil.rmtree(scene.cluster.state_dir / "redis" / "appendonlydir", ignore_errors=True)
    (scene.cluster.state_dir / "redis" / "appendonly.aof").unlink(missing_ok=True)
    for client in two:
        works_again(client, fresh("chat"))
    said_so(two, channel, epochs)
    scene.whole()


def said_so(two: list[SdkClient], channel: str, epochs: set[str]) -> None:
    """Every subscriber is told that what it has is of the past, and goes on with the new stream."""
    one, other = two
    marks = [client.mark for client in two]
    one.publish(channel, "after")
    for client in two:
        back = client.wait("subscribed", channel=channel, was_recovering=True)
        assert back["recovered"] is False
        assert back["epoch"] not in epochs
    other.publish(channel, "then")
    for client, mark in zip(two, marks, strict=True):
        client.wait("publication", after=mark, channel=channel, data="then")
        calm(client)
