"""Connect, subscribe, publish, unsubscribe: what everything else is made of, across nodes."""

import pytest

from tests.integration.messaging.scene import Scene, fresh, offsets, user
from tests.sdk.client import CallFailed

Kind = tuple[str, str]


def test_a_publication_reaches_subscribers_on_every_node(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    name = user()
    here = scene.connected(kind, name, node="gateway-1")
    there = scene.connected(kind, node="gateway-2")
    for client in (here, there):
        got = client.subscribe(channel)
        assert (got["recoverable"], got["positioned"], got["was_recovering"]) == (True, True, False)
    here.publish(channel, {"text": "hello", "n": [1, 2.5, None], "ü": "☃"})
    for client in (here, there):
        event = client.wait("publication", channel=channel)
        assert event["data"] == {"text": "hello", "n": [1, 2.5, None], "ü": "☃"}
        assert event["offset"] == 1
        assert event["info"]["user"] == name
        assert event["info"]["client"] == here.seen("connected")[0]["client"]


def test_a_connection_has_an_id_of_its_own_each_time(scene: Scene, kind: Kind) -> None:
    client = scene.client(kind)
    first = client.connect()["client"]
    client.disconnect()
    assert client.connect()["client"] not in ("", first)


def test_many_publications_come_in_order(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    sender, receiver = scene.connected(kind, node="gateway-3"), scene.connected(kind, node="gateway-1")
    receiver.subscribe(channel)
    for number in range(100):
        sender.publish(channel, number)
    receiver.wait("publication", channel=channel, data=99)
    assert receiver.data(channel) == list(range(100))
    assert offsets(receiver, channel) == list(range(1, 101))


def test_who_has_unsubscribed_gets_nothing(scene: Scene, kind: Kind) -> None:
    channel, other = fresh("chat"), fresh("chat")
    client = scene.connected(kind)
    client.subscribe(channel)
    client.subscribe(other)
    client.publish(channel, "before")
    client.wait("publication", channel=channel, data="before")
    assert client.unsubscribe(channel)["code"] == 0
    client.publish(channel, "after")
    client.publish(other, "end")
    client.wait("publication", channel=other, data="end")
    assert client.data(channel) == ["before"]


def test_a_channel_without_history_has_no_offsets(scene: Scene, kind: Kind) -> None:
    channel = fresh()
    client = scene.connected(kind)
    got = client.subscribe(channel)
    assert (got["recoverable"], got["positioned"], got["offset"]) == (False, False, 0)
    client.publish(channel, 1)
    assert client.wait("publication", channel=channel)["offset"] == 0


def test_json_and_protobuf_clients_share_a_channel(scene: Scene) -> None:
    channel = fresh("chat")
    clients = [scene.connected(("python", codec), node=node)
               for codec in ("json", "protobuf") for node in ("gateway-1", "gateway-2")]  # fmt: skip
    for client in clients:
        client.subscribe(channel)
    for number, client in enumerate(clients):
        client.publish(channel, {"from": number})
    for client in clients:
        client.wait("publication", channel=channel, where=lambda event: event["offset"] == len(clients))
        assert client.data(channel) == [{"from": number} for number in range(len(clients))]


def test_payloads_pass_to_the_byte(scene: Scene) -> None:
    channel = fresh("chat")
    client = scene.connected(("python", "protobuf"))
    client.subscribe(channel)
    payloads = ['{"i": 1}', '{"a":1.0,"a":2}', "1e2", '"\\u00e9\\/"', "[ ]"]
    for raw in payloads:
        client.publish(channel, {"raw": raw})
    client.wait("publication", channel=channel, where=lambda event: event["offset"] == len(payloads))
    assert [event["raw"] for event in client.seen("publication", channel=channel)] == payloads


def test_a_json_subscriber_of_what_is_no_json_is_closed(scene: Scene) -> None:
    channel = fresh("chat")
    reader = scene.connected(("python", "json"))
    writer = scene.connected(("python", "protobuf"))
    for client in (reader, writer):
        client.subscribe(channel)
    writer.publish(channel, {"raw": "not json"})
    assert reader.wait("disconnected")["code"] == 3506
    assert writer.wait("publication", channel=channel)["raw"] == "not json"


@pytest.mark.parametrize("name", ["", "js"])
def test_data_and_headers_come_with_a_connect(scene: Scene, name: str) -> None:
    kind = (name or "python", "json")
    assert scene.client(kind, data={"version": 1}).connect()["client"]


def test_rpc_without_a_handler_is_not_available(scene: Scene, kind: Kind) -> None:
    with pytest.raises(CallFailed) as failed:
        scene.connected(kind).call("rpc", method="any", data={})
    assert failed.value.code == 108
