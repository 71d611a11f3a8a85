"""A back end talks to the cluster by the published `cent` package, through the proxy's admin port."""

import time
from collections.abc import Callable

import cent
import pytest
from cent import CentApiResponseError

from tests.integration.messaging.scene import NODES, Scene, fresh, user
from tests.processes import until

Kind = tuple[str, str]


ELSEWHERE = cent.StreamPosition(offset=1, epoch="other")


def test_a_publication_reaches_clients_of_every_node(scene: Scene, kind: Kind) -> None:
    channel = fresh("chat")
    clients = [scene.connected(kind, node=node) for node in NODES[:2]]
    for client in clients:
        client.subscribe(channel)
    result = scene.api.publish(cent.PublishRequest(channel=channel, data={"n": 1}, tags={"from": "back end"}))
    assert result.offset == 1
    for client in clients:
        event = client.wait("publication", channel=channel)
        assert (event["data"], event["offset"], event["info"], event["tags"]) == (
            {"n": 1}, 1, None, {"from": "back end"},
        )  # fmt: skip


def test_a_broadcast_says_what_became_of_each(scene: Scene) -> None:
    channels = [fresh("chat"), "nowhere:a", fresh("chat")]
    client = scene.connected()
    for channel in (channels[0], channels[2]):
        client.subscribe(channel)
    responses = scene.api.broadcast(cent.BroadcastRequest(channels=channels, data=1)).responses
    assert [one.error.code if one.error else one.result and one.result.offset for one in responses] == [1, 102, 1]
    for channel in (channels[0], channels[2]):
        client.wait("publication", channel=channel, data=1)


def test_the_same_idempotency_key_publishes_once(scene: Scene) -> None:
    channel = fresh("chat")
    client = scene.connected()
    client.subscribe(channel)
    request = cent.PublishRequest(channel=channel, data=1, idempotency_key="k")
    assert [scene.api.publish(request).offset for _ in range(3)] == [1, 1, 1]
    scene.api.publish(cent.PublishRequest(channel=channel, data="end"))
    client.wait("publication", channel=channel, data="end")
    assert client.data(channel) == [1, "end"]


def test_presence_and_history(scene: Scene) -> None:
    channel, name = fresh("chat"), user()
    clients = [scene.connected(name=name, node=node) for node in NODES[:2]]
    for client in clients:
        client.subscribe(channel)
    api = scene.api
    found = api.presence(cent.PresenceRequest(channel=channel)).presence
    assert {client: info.user for client, info in found.items()} == {
        client.seen("connected")[0]["client"]: name for client in clients
    }
    stats = api.presence_stats(cent.PresenceStatsRequest(channel=channel))
    assert (stats.num_clients, stats.num_users) == (2, 1)
    for number in range(1, 4):
        api.publish(cent.PublishRequest(channel=channel, data=number))
    top = api.history(cent.HistoryRequest(channel=channel))
    assert (top.publications, top.offset) == ([], 3)
    since = cent.StreamPosition(offset=1, epoch=top.epoch)
    read = api.history(cent.HistoryRequest(channel=channel, limit=10, since=since)).publications
    assert [(one.offset, one.data) for one in read] == [(2, 2), (3, 3)]
    api.history_remove(cent.HistoryRemoveRequest(channel=channel))
    left = api.history(cent.HistoryRequest(channel=channel, limit=10))
    assert (left.publications, left.offset, left.epoch) == ([], 3, top.epoch)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda api: api.publish(cent.PublishRequest(channel="nowhere:a", data=1)), 102),
        (lambda api: api.publish(cent.PublishRequest(channel="", data=1)), 107),
        (lambda api: api.history(cent.HistoryRequest(channel="plain")), 108),
        (lambda api: api.presence(cent.PresenceRequest(channel="room:a")), 108),
        (lambda api: api.history(cent.HistoryRequest(channel="chat:a", since=ELSEWHERE, limit=1)), 112),
    ],
)
def test_an_error_has_its_code(scene: Scene, call: Callable[[cent.Client], object], code: int) -> None:
    with pytest.raises(CentApiResponseError) as failed:
        call(scene.api)
    assert failed.value.code == code


def test_a_wrong_key_is_refused(scene: Scene) -> None:
    wrong = cent.Client(scene.api_url, "wrong")
    with pytest.raises(cent.CentUnauthorizedError):
        wrong.info(cent.InfoRequest())


def test_a_user_is_subscribed_and_unsubscribed(scene: Scene, kind: Kind) -> None:
    channel, name = fresh("closed"), user()
    clients = [scene.connected(kind, name, node=node) for node in NODES[:2]]
    scene.api.subscribe(cent.SubscribeRequest(user=name, channel=channel, data={"by": "server"}))
    for client in clients:
        assert client.wait("subscribed", channel=channel, server=True)["data"] == {"by": "server"}
    clients[0].publish(channel, 1)
    clients[1].wait("publication", channel=channel, data=1)
    scene.api.unsubscribe(cent.UnsubscribeRequest(user=name, channel=channel))
    for client in clients:
        client.wait("unsubscribed", channel=channel, server=True)


def test_a_client_s_own_subscription_is_ended_for_good(scene: Scene, kind: Kind) -> None:
    channel, name = fresh("chat"), user()
    client = scene.connected(kind, name)
    client.subscribe(channel)
    scene.api.unsubscribe(cent.UnsubscribeRequest(user=name, channel=channel))
    assert client.wait("unsubscribed", channel=channel)["code"] == 2000
    assert client.seen("disconnected") == []


def test_a_user_is_disconnected_from_every_node_but_for_a_spared_client(scene: Scene, kind: Kind) -> None:
    name = user()
    spared, *others = [scene.connected(kind, name, node=node) for node in NODES]
    other = scene.connected(kind)
    spare = [spared.seen("connected")[0]["client"]]
    scene.api.disconnect(cent.DisconnectRequest(user=name, whitelist=spare))
    for client in others:
        assert client.wait("disconnected")["code"] == 3503
    own = cent.Disconnect(code=4500, reason="gone fishing")
    scene.api.disconnect(cent.DisconnectRequest(user=name, disconnect=own))
    event = spared.wait("disconnected")
    assert (event["code"], event["reason"]) == (4500, "gone fishing")
    assert other.seen("disconnected") == []


def test_a_connection_s_expiry_is_set(scene: Scene) -> None:
    name = user()
    client = scene.connected(name=name)
    scene.api.refresh(cent.RefreshRequest(user=name, expire_at=int(time.time()) + 600))
    mark = client.mark
    scene.api.refresh(cent.RefreshRequest(user=name, expired=True))
    assert client.wait("connecting", after=mark)["code"] == 3005


def test_channels_and_nodes_are_counted_over_the_cluster(scene: Scene) -> None:
    prefix, name = fresh("chat"), user()
    for number, node in enumerate(NODES):
        client = scene.connected(name=name, node=node)
        client.subscribe(f"{prefix}-all")
        client.subscribe(f"{prefix}-{number}")
    found = scene.api.channels(cent.ChannelsRequest(pattern=f"{prefix}-*")).channels
    assert {channel: one.num_clients for channel, one in found.items()} == {
        f"{prefix}-all": 3, f"{prefix}-0": 1, f"{prefix}-1": 1, f"{prefix}-2": 1,
    }  # fmt: skip
    nodes = until(
        lambda: [node for node in scene.api.info(cent.InfoRequest()).nodes if node.num_clients == 1],
        "each node counts its client",
    )
    assert sorted(node.name for node in nodes) == NODES


def test_a_batch_answers_each_command(scene: Scene) -> None:
    channel = fresh("chat")
    requests = [
        cent.PublishRequest(channel=channel, data=1), cent.PublishRequest(channel=channel, data=2),
        cent.HistoryRequest(channel=channel, limit=10),
    ]  # fmt: skip
    first, second, history = scene.api.batch(cent.BatchRequest(requests=requests)).replies
    assert isinstance(first, cent.PublishResult)
    assert isinstance(second, cent.PublishResult)
    assert isinstance(history, cent.HistoryResult)
    assert (first.offset, second.offset) == (1, 2)
    assert [one.data for one in history.publications] == [1, 2]


def test_the_command_line_publishes_too(scene: Scene) -> None:
    channel = fresh("chat")
    client = scene.connected()
    client.subscribe(channel)
    assert "offset 1" in scene.cluster.flux("publish", channel, '{"text": "hi"}').stdout
    client.wait("publication", channel=channel, data={"text": "hi"})
