"""Clients that do not keep to the protocol, over a WebSocket of their own: each is closed with its code."""

import json
import time
from typing import Any

import pytest

from tests.integration.gateway.wire import BINARY, TEXT, Wire, frame
from tests.integration.messaging.scene import Scene, fresh, user

PATH = "/connection/websocket"


class RawClient:
    """JSON commands as text, and what comes back."""

    def __init__(self, scene: Scene, *, receive_buffer: int = 0) -> None:
        self.scene = scene
        self.wire = Wire(("127.0.0.1", scene.cluster.port), receive_buffer=receive_buffer)
        self.wire.open(PATH)
        self.number = 0

    def send(self, **command: Any) -> None:
        """Send a command, with a number of its own."""
        self.number += 1
        self.text(json.dumps({"id": self.number, **command}))

    def text(self, text: str) -> None:
        """Send a frame."""
        self.wire.send(frame(TEXT, text))

    def connect(self, **claims: Any) -> dict[str, Any]:
        """Connect as a new user."""
        self.send(connect={"token": self.scene.token(user(), **claims)})
        return self.reply()

    def reply(self) -> dict[str, Any]:
        """Return the next message that is no ping and no push."""
        while True:
            arrived = self.wire.read()
            assert arrived.opcode == TEXT, arrived
            for line in arrived.payload.decode().splitlines():
                message: dict[str, Any] = json.loads(line)
                if "id" in message:
                    return message


@pytest.fixture
def client(scene: Scene) -> RawClient:
    """A client whose WebSocket is open."""
    return RawClient(scene)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "null", "[]", "{", "no", '{"id":1}\n\n{"id":2}', '{"id":"1","connect":{}}', '{"id":1,"what":{}}',
        '{"id":1,"connect":{},"ping":{}}', '{"id":1,"subscribe":{"channel":"a"}}', '{"id":1,"connect":{"token":7}}',
        '{"id":-1,"connect":{}}', "{}",
    ],
)  # fmt: skip
def test_nonsense_is_a_bad_request(client: RawClient, text: str) -> None:
    client.text(text)
    assert client.wire.closed() == (3501, "bad request")


def test_json_in_a_binary_frame_is_a_bad_request(client: RawClient) -> None:
    client.wire.send(frame(BINARY, '{"id":1,"connect":{}}'))
    assert client.wire.closed()[0] == 3501


def test_a_second_connect_is_a_bad_request(client: RawClient) -> None:
    assert client.connect()["connect"]["client"]
    client.send(connect={})
    assert client.wire.closed() == (3501, "bad request")


def test_an_empty_channel_is_a_bad_request(client: RawClient) -> None:
    client.connect()
    client.send(publish={"data": 1})
    assert client.wire.closed() == (3501, "bad request")


def test_a_pong_that_nobody_asked_for_is_a_bad_request(client: RawClient) -> None:
    client.connect()
    client.text("{}")
    assert client.wire.closed() == (3501, "bad request")


def test_who_never_connects_is_stale(client: RawClient) -> None:
    client.wire.socket.settimeout(20)
    began = time.monotonic()
    assert client.wire.closed() == (3502, "stale")
    assert 13 < time.monotonic() - began < 18


def test_who_never_answers_a_ping_is_closed(client: RawClient) -> None:
    found = client.connect()["connect"]
    assert (found["ping"], found["pong"]) == (4, True)
    began = time.monotonic()
    assert client.wire.closed() == (3012, "no pong")
    assert 4.5 < time.monotonic() - began < 8.5  # the first ping after 2 to 4 s, then 3 s for the pong


def test_who_answers_pings_stays(client: RawClient) -> None:
    client.connect()
    end, pings = time.monotonic() + 10, 0
    while time.monotonic() < end:
        arrived = client.wire.read()
        assert arrived.opcode == TEXT, arrived
        if arrived.payload == b"{}":
            pings += 1
            client.text("{}")
    assert pings >= 2


def test_an_expired_connection_is_closed_after_the_grace(client: RawClient) -> None:
    found = client.connect(seconds=2)["connect"]
    assert found["expires"] is True
    assert found["ttl"] in (1, 2)
    client.send(ping={})
    assert client.reply()["error"]["code"] == 108
    assert client.wire.closed() == (3005, "connection expired")


def test_a_slow_client_is_closed_and_slows_nobody(scene: Scene) -> None:
    channel = fresh("chat")
    slow = RawClient(scene, receive_buffer=4096)
    slow.connect()
    slow.send(subscribe={"channel": channel})
    assert "subscribe" in slow.reply()
    fast = scene.connected(node="gateway-2")
    fast.subscribe(channel)
    text = "x" * 60_000
    began = time.monotonic()
    for number in range(150):  # 9 MB: more than the node's outbox and every buffer on the way
        fast.publish(channel, {"n": number, "text": text})
    fast.wait("publication", channel=channel, where=lambda event: event["offset"] == 150)
    assert time.monotonic() - began < 20
    assert [event["data"]["n"] for event in fast.seen("publication", channel=channel)] == list(range(150))
    assert slow.wire.closed() == (3008, "slow")


def test_a_connection_goes_on_after_an_error(client: RawClient) -> None:
    client.connect()
    for _ in range(5):
        client.send(subscribe={"channel": "nowhere:a"})
        assert client.reply()["error"]["code"] == 102
    client.send(subscribe={"channel": fresh("chat")})
    assert client.reply()["subscribe"]["recoverable"] is True
