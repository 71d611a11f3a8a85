"""Reading what was published before."""

import pytest

from tests.integration.messaging.scene import Scene, fresh
from tests.sdk.client import CallFailed, SdkClient

Kind = tuple[str, str]


@pytest.fixture
def ten(scene: Scene, kind: Kind) -> tuple[SdkClient, str]:
    """A client, and a channel with ten publications."""
    client, channel = scene.connected(kind, node="gateway-2"), fresh("chat")
    publisher = scene.connected(kind, node="gateway-1")
    for number in range(1, 11):
        publisher.publish(channel, number)
    return client, channel


def read(client: SdkClient, channel: str, **options: object) -> list[int]:
    return [publication["data"] for publication in client.history(channel, **options)["publications"]]


def test_a_limit_and_a_direction(ten: tuple[SdkClient, str]) -> None:
    client, channel = ten
    position = client.history(channel)
    assert (position["publications"], position["offset"]) == ([], 10)
    assert position["epoch"]
    assert read(client, channel, limit=-1) == list(range(1, 11))
    assert read(client, channel, limit=3) == [1, 2, 3]
    assert read(client, channel, limit=3, reverse=True) == [10, 9, 8]


def test_since_a_position(ten: tuple[SdkClient, str]) -> None:
    client, channel = ten
    epoch = client.history(channel)["epoch"]
    assert read(client, channel, limit=2, since={"offset": 4, "epoch": epoch}) == [5, 6]
    assert read(client, channel, limit=2, since={"offset": 4, "epoch": epoch}, reverse=True) == [3, 2]
    assert read(client, channel, limit=5, since={"offset": 10, "epoch": epoch}) == []
    found = client.history(channel, limit=1, since={"offset": 0, "epoch": epoch})["publications"][0]
    assert (found["offset"], found["info"]["user"][:4]) == (1, "user")


def test_another_epoch_is_said(ten: tuple[SdkClient, str]) -> None:
    client, channel = ten
    with pytest.raises(CallFailed) as failed:
        client.history(channel, limit=1, since={"offset": 1, "epoch": "other"})
    assert failed.value.code == 112


def test_backwards_from_nothing_is_a_bad_request(ten: tuple[SdkClient, str]) -> None:
    client, channel = ten
    with pytest.raises(CallFailed) as failed:
        client.history(channel, limit=1, since={"offset": 0, "epoch": client.history(channel)["epoch"]}, reverse=True)
    assert failed.value.code == 107


def test_only_the_newest_are_kept(scene: Scene, kind: Kind) -> None:
    client, channel = scene.connected(kind), fresh("brief")
    client.subscribe(channel)
    for number in range(1, 9):
        client.publish(channel, number)
    assert read(client, channel, limit=-1) == [4, 5, 6, 7, 8]
    epoch = client.history(channel)["epoch"]
    # From a point that is trimmed the oldest that is kept comes first.
    assert read(client, channel, limit=2, since={"offset": 1, "epoch": epoch}) == [4, 5]


@pytest.mark.parametrize(("namespace", "code"), [("", 108), ("brief", 103), ("nowhere", 102)])
def test_history_that_may_not_be_read_is_refused(scene: Scene, kind: Kind, namespace: str, code: int) -> None:
    with pytest.raises(CallFailed) as failed:
        scene.connected(kind).history(fresh(namespace), limit=1)
    assert failed.value.code == code
