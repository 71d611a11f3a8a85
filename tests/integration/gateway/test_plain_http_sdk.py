"""The published JavaScript SDK without WebSocket: through a proxy, over pings and over a drain."""

import signal
from collections.abc import Iterator

import pytest

from tests.processes import Daemon, Stack, until
from tests.sdk.javascript import JavaScriptClient, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

RULES = '{"history_size": 10, "history_ttl": 60, "force_recovery": true, "force_positioning": true, "presence": true}'


@pytest.fixture(scope="module")
def front(shared: Stack) -> Daemon:
    """A proxy before two nodes which ping every second."""
    for _ in range(2):
        shared.gateway(
            messaging_insecure="true", messaging_default=RULES,
            messaging_ping_interval=1, messaging_ping_timeout=0.8, drain_timeout=5,
        )  # fmt: skip
    return shared.proxy()


@pytest.fixture(params=[("http_stream", False), ("http_stream", True), ("sse", False)])
def client(front: Daemon, request: pytest.FixtureRequest) -> Iterator[JavaScriptClient]:
    """A client that has connected."""
    transport, protobuf = request.param
    with JavaScriptClient(f"{front.url}/connection/websocket", transport=transport, protobuf=protobuf) as client:
        client.connect()
        yield client


def test_a_drain_loses_nothing(shared: Stack, client: JavaScriptClient) -> None:
    channel = f"drained {client.mark} {id(client)}"
    client.subscribe(channel)
    for number in range(3):
        client.publish(channel, {"number": number})
    client.wait("publication", channel=channel, where=lambda event: event["data"] == {"number": 2})
    assert len(client.presence(channel)) == 1

    (holder,) = [node for node in shared.nodes if node.running and node.info()["connections"]]
    mark = client.mark
    holder.signal(signal.SIGTERM)
    client.wait("connecting", after=mark, code=3001, reason="shutdown")
    client.wait("connected", after=mark)
    client.wait("subscribed", after=mark, channel=channel, was_recovering=True, recovered=True)
    client.publish(channel, {"number": 3})
    client.wait("publication", after=mark, channel=channel, where=lambda event: event["data"] == {"number": 3})
    assert client.data(channel) == [{"number": number} for number in range(4)]

    assert holder.wait() == 0
    holder.restart()
    holder.wait_ready()


def test_pings_are_answered(shared: Stack, client: JavaScriptClient) -> None:
    before = [node.metric("flux_node_messages_in_total") for node in shared.nodes]

    def pongs() -> bool:
        now = [node.metric("flux_node_messages_in_total") for node in shared.nodes]
        return sum(now) - sum(before) >= 3

    mark = client.mark
    until(pongs, "three pongs have come")
    assert client.seen("connecting", after=mark) == []


def test_a_client_that_goes_away_leaves_no_connection(shared: Stack, client: JavaScriptClient) -> None:
    assert sum(node.info()["connections"] for node in shared.nodes) == 1
    client.disconnect()
    until(lambda: not any(node.info()["connections"] for node in shared.nodes), "the stream is over")
