"""Clients that cannot use WebSocket: streams over HTTP, and commands by requests of their own, on real nodes."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from flux_gateway.core import proxy_protocol
from flux_gateway.core.link import Refused
from flux_gateway.messaging.protobuf import client_pb2
from tests.integration.gateway.plain_http import (
    CONNECT,
    EMULATION,
    HTTP_STREAM,
    SSE,
    ProtobufStream,
    Stream,
    asked,
    emulated,
    head,
    request,
)
from tests.integration.gateway.proxy_side import ProxySide
from tests.integration.gateway.wire import Wire
from tests.processes import Daemon, Stack, until

INSECURE: dict[str, Any] = {"messaging_insecure": "true"}


@pytest.fixture(scope="module")
def node(shared: Stack) -> Daemon:
    """A node that lets everybody do everything in channels."""
    return shared.gateway(
        **INSECURE, close_timeout=1, head_timeout=1,
        messaging_default='{"join_leave": true, "force_push_join_leave": true}',
    )  # fmt: skip


@pytest.fixture(scope="module")
def other(shared: Stack, node: Daemon) -> Daemon:
    """A second node."""
    return shared.gateway(**INSECURE)


# Streams.


@pytest.mark.parametrize("path", [HTTP_STREAM, SSE])
def test_what_others_publish_is_heard(node: Daemon, path: str) -> None:
    channel = f"heard {path}"
    one, two = Stream(node.address, path).greeted(), Stream(node.address).greeted()
    assert one.call("subscribe", channel=channel) == {"subscribe": {}}
    assert one.hear("join")["info"]["client"] == one.greeting["client"]
    assert two.call("publish", channel=channel, data={"text": "a\nb\r\u2028"}) == {"publish": {}}
    said = one.hear("pub")
    assert said["data"] == {"text": "a\nb\r\u2028"}
    assert said["info"]["client"] == two.greeting["client"]


def test_the_reply_to_connect_says_how_commands_get_here(node: Daemon) -> None:
    one, two = Stream(node.address).greeted(), Stream(node.address, SSE).greeted()
    assert one.greeting["node"] == "gateway-1"
    assert one.greeting["pong"] is True
    assert len(bytes.fromhex(one.greeting["session"])) == 16
    assert one.greeting["session"] != two.greeting["session"]
    # What proxies and logs know is another thing.
    assert one.greeting["session"] != one.answer.headers["x-flux-session"]
    assert one.greeting["session"] not in node.said()


@pytest.mark.parametrize(
    ("path", "content_type"), [(HTTP_STREAM, "application/x-ndjson"), (SSE, "text/event-stream")]
)
def test_nobody_on_the_way_may_keep_an_answer(node: Daemon, path: str, content_type: str) -> None:
    headers = Stream(node.address, path).answer.headers
    assert headers["content-type"] == content_type
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["connection"] == "close"
    assert "content-length" not in headers


def test_protobuf(node: Daemon) -> None:
    client, hearer = ProtobufStream(node.address), Stream(node.address).greeted()
    assert client.answer.headers["content-type"] == "application/octet-stream"
    hearer.call("subscribe", channel="protobuf")
    command = client_pb2.Command(id=2, publish=client_pb2.PublishRequest(channel="protobuf", data=b'{"a":  1}'))
    assert client.call(command).HasField("publish")
    hearer.hear("join")
    assert hearer.line().startswith(b'{"push":{"channel":"protobuf","pub":{"data":{"a":  1},')


def test_several_commands_in_one_request(node: Daemon) -> None:
    client = Stream(node.address).greeted()
    assert client.say({"id": 2, "presence": {"channel": "a"}}, {"id": 3, "rpc": {"method": "x"}}) == 204
    assert [client.read()["id"] for _ in range(2)] == [2, 3]


def test_a_request_in_pieces_of_one_byte(node: Daemon) -> None:
    body = json.dumps(CONNECT).encode()
    with Wire(node.address) as wire:
        for byte in head("POST", HTTP_STREAM, {"Host": "test", "Content-Length": str(len(body))}) + body:
            wire.send(bytes([byte]))
        assert wire.answer().status == 200
        assert wire.take(9) == b'{"id":1,"'


def test_a_client_that_leaves_has_left_everywhere(node: Daemon) -> None:
    leaver, stayer = Stream(node.address).greeted(), Stream(node.address, SSE).greeted()
    stayer.call("subscribe", channel="leaving")
    stayer.hear("join")
    leaver.call("subscribe", channel="leaving")
    assert stayer.hear("join")["info"]["client"] == leaver.greeting["client"]
    leaver.wire.socket.close()
    assert stayer.hear("leave")["info"]["client"] == leaver.greeting["client"]
    assert leaver.say({"id": 9, "rpc": {}}) == 204


@pytest.mark.parametrize("path", [HTTP_STREAM, SSE])
@pytest.mark.parametrize("first", [{"id": 1, "rpc": {"method": "x"}}, {}, {"id": 1}, []])
def test_a_stream_that_does_not_begin_with_connect_ends(node: Daemon, path: str, first: Any) -> None:
    assert Stream(node.address, path, first).last() == {"code": 3501, "reason": "bad request"}


def test_a_failed_connect_is_answered_in_the_stream(node: Daemon) -> None:
    connect = {"id": 1, "connect": {"token": "not a token"}}
    closed = node.metric("flux_node_sessions_closed_total", code="3500", by="node")
    assert Stream(node.address, HTTP_STREAM, connect).last() == {"code": 3500, "reason": "invalid token"}
    until(lambda: node.metric("flux_node_sessions_closed_total", code="3500", by="node") == closed + 1, "counted")


# Commands by requests of their own.


def test_commands_by_another_node(node: Daemon, other: Daemon) -> None:
    client = Stream(node.address).greeted()
    assert client.call("subscribe", by=other.address, channel="far") == {"subscribe": {}}
    client.hear("join")
    assert client.call("publish", by=other.address, channel="far", data=[1]) == {"publish": {}}


def test_a_node_that_is_not_there(node: Daemon) -> None:
    client = Stream(node.address).greeted()
    for name in ("gateway-99", "", "../x", "a" * 64):
        assert client.say({"id": 2, "rpc": {}}, node=name) == 404


def test_a_stream_that_is_not_there(node: Daemon, other: Daemon) -> None:
    client = Stream(node.address).greeted()
    for by in (node, other):
        for session in ("", "guessed", client.answer.headers["x-flux-session"]):
            assert client.say({"id": 2, "rpc": {}}, by=by.address, session=session) == 204
    assert "error" in client.call("rpc", method="x")  # and nothing came from what was said before


def test_what_waits_for_redis_holds_the_requests_up(stack: Stack) -> None:
    redis = stack.redis()
    node = stack.gateway(**INSECURE, redis_timeout=5)
    client = Stream(node.address).greeted()
    redis.signal(signal.SIGSTOP)
    try:
        for number in range(16):
            assert client.say({"id": number + 2, "subscribe": {"channel": f"c{number}"}}) == 204
        late = request(
            node.address, "POST", EMULATION,
            emulated(client.greeting["session"], data='{"id":50,"subscribe":{"channel":"late"}}'),
        )  # fmt: skip
        late.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.answer()
    finally:
        redis.signal(signal.SIGCONT)
    late.socket.settimeout(15)
    assert late.answer().status == 204
    assert [client.read()["id"] for _ in range(17)] == [*range(2, 18), 50]


def test_a_client_that_waits_for_nothing_is_ended(stack: Stack) -> None:
    redis = stack.redis()
    node = stack.gateway(**INSECURE, redis_timeout=5)
    client = Stream(node.address).greeted()
    body = emulated(client.greeting["session"], data='{"id":50,"subscribe":{"channel":"late"}}')
    redis.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(32) as posts:
            list(posts.map(lambda _: request(node.address, "POST", EMULATION, body), range(300)))
        assert client.last() == {"code": 3013, "reason": "too many requests"}
    finally:
        redis.signal(signal.SIGCONT)


# As any connection of the node.


@pytest.fixture(scope="module")
def impatient(shared: Stack, other: Daemon) -> Daemon:
    """A node that pings every second, and takes two connections."""
    return shared.gateway(**INSECURE, messaging_ping_interval=1, messaging_ping_timeout=0.4, max_connections=2)


@pytest.mark.parametrize("path", [HTTP_STREAM, SSE])
def test_pings_are_answered_by_a_request(impatient: Daemon, path: str) -> None:
    client = Stream(impatient.address, path).greeted()
    for _ in range(3):
        assert client.read(pings=True) == {}
        assert client.say({}) == 204
    assert client.say({}) == 204
    assert client.last()["code"] == 3501  # a pong that nobody asked for


def test_a_client_that_does_not_answer_pings_is_ended(impatient: Daemon) -> None:
    client = Stream(impatient.address).greeted()
    started = time.monotonic()
    assert client.last() == {"code": 3012, "reason": "no pong"}
    assert time.monotonic() - started < 3


def test_streams_count_as_connections(impatient: Daemon) -> None:
    until(lambda: impatient.info()["connections"] == 0, "nobody is there")
    one, _ = Stream(impatient.address).greeted(), Stream(impatient.address, SSE).greeted()
    assert impatient.info()["connections"] == 2
    for method, target in (("POST", HTTP_STREAM), ("GET", f"{SSE}?cf_connect={{}}")):
        answer = asked(impatient.address, method, target)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert one.say({"id": 2, "rpc": {}}) == 204  # a request is no connection
    one.wire.socket.close()
    until(lambda: impatient.info()["connections"] < 2, "the node has noticed")
    Stream(impatient.address).greeted()


def test_a_drain_says_so_and_ends_the_streams(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway(**INSECURE, drain_timeout=5)
    streams = [Stream(node.address, path).greeted() for path in (HTTP_STREAM, SSE)]
    started = time.monotonic()
    node.signal(signal.SIGTERM)
    for stream in streams:
        assert stream.last() == {"code": 3001, "reason": "shutdown"}
        stream.wire.socket.close()
    assert node.wait() == 0
    assert time.monotonic() - started < 6
    assert '"cut": 0' in node.said() or "cut=0" in node.said()


def test_a_draining_node_opens_none_but_serves_its_own(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway(**INSECURE, drain_timeout=60)
    # With two, the second is told at the end of the window.
    streams = [Stream(node.address).greeted() for _ in range(2)]
    node.post("/drain")
    answer = asked(node.address, "POST", HTTP_STREAM, json.dumps(CONNECT).encode())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    served = [stream for stream in streams if stream.say({"id": 7, "presence": {"channel": "x"}}) == 204]
    assert len(served) == 2
    node.post("/undrain")
    assert [record for stream in streams if (record := stream.read()).get("id") == 7]


def test_a_stream_cannot_be_moved(shared: Stack, node: Daemon) -> None:
    side, body, session = ProxySide(shared), json.dumps(CONNECT).encode(), uuid4().hex
    with side.link(node) as told:
        tlvs = {proxy_protocol.UNIQUE_ID: session.encode(), proxy_protocol.PROXY_ID: side.id.encode()}
        wire = side.connect(node, tlvs)
        wire.send(head("POST", HTTP_STREAM, {"Host": "test", "Content-Length": str(len(body))}) + body)
        assert wire.answer().headers["x-flux-session"] == session
        assert told.asked(session) == Refused({session: "plain HTTP"})
        assert wire.take(9) == b'{"id":1,"'


def test_a_slow_reader_is_ended(shared: Stack, node: Daemon) -> None:
    slow = Wire(node.address, receive_buffer=4096)
    body = json.dumps(CONNECT).encode()
    slow.send(head("POST", HTTP_STREAM, {"Host": "test", "Content-Length": str(len(body))}) + body)
    assert slow.answer().status == 200
    line = b""
    while not line.endswith(b"\n"):
        line += slow.take(1)
    greeting = json.loads(line)["connect"]
    subscribe = json.dumps({"id": 2, "subscribe": {"channel": "flood"}})
    body = emulated(greeting["session"], data=subscribe)
    assert asked(node.address, "POST", EMULATION, body).status == 204
    before = node.metric("flux_node_outbox_overflows_total")
    writer = Stream(node.address).greeted()

    def flooded() -> bool:
        writer.call("publish", channel="flood", data="x" * 50_000)
        return node.metric("flux_node_outbox_overflows_total") > before

    until(flooded, "the outbox is full", 30)
    until(lambda: node.metric("flux_node_sessions_closed_total", code="3008", by="node") == 1, "the slow one is gone")
