"""The Protobuf codec; centrifuge-python's own module is the independent writer of commands and reader of replies."""

from collections.abc import Iterator
from typing import Any

import centrifuge.protocol.client_pb2 as published  # type: ignore[import-untyped, unused-ignore]
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import example, given
from hypothesis import strategies as st

from flux_gateway.core.frames import BINARY
from flux_gateway.messaging import commands, protobuf_codec, results
from flux_gateway.messaging.codec import Codec, Malformed
from flux_gateway.messaging.codes import ClientError, UnsubscribeCode
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.protobuf import client_pb2
from flux_gateway.messaging.protobuf_codec import PROTOBUF
from flux_gateway.messaging.publication import ClientInfo, Publication
from flux_gateway.messaging.results import Push, Result

CODEC: Codec = PROTOBUF


def framed(*messages: bytes) -> bytes:
    """Return messages with their lengths before them, the textbook way."""
    frame = b""
    for message in messages:
        length = len(message)
        while length > 0x7F:
            frame += bytes([length & 0x7F | 0x80])
            length >>= 7
        frame += bytes([length]) + message
    return frame


def command(**fields: Any) -> bytes:
    return bytes(ParseDict(fields, published.Command()).SerializeToString())


def replies(frame: bytes) -> Iterator[Any]:
    """Read a frame as centrifuge-python does."""
    at = 0
    while at < len(frame):
        length = shift = 0
        while True:
            byte = frame[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        reply = published.Reply()
        reply.ParseFromString(frame[at : at + length])
        at += length
        yield reply


def read(record: bytes) -> dict[str, Any]:
    (reply,) = replies(record)
    return dict(MessageToDict(reply, preserving_proto_field_name=True))


def test_its_name_opcode_and_ping() -> None:
    assert (CODEC.name, CODEC.opcode, CODEC.ping) == ("protobuf", BINARY, b"\x00")


ALL_REQUESTS: list[tuple[str, dict[str, Any], commands.Request]] = [
    (
        "connect",
        {
            "token": "t", "data": "AP8=", "name": "n", "version": "v", "headers": {"a": "b"}, "flag": 5,
            "subs": {"c": {"recover": True, "epoch": "e", "offset": 2**64 - 1, "data": "AA=="}},
        },
        commands.ConnectRequest(
            token="t", data=b"\x00\xff", name="n", version="v", headers={"a": "b"}, flag=5,
            subs={"c": commands.SubscribeRequest(recover=True, epoch="e", offset=2**64 - 1, data=b"\x00")},
        ),
    ),
    (
        "subscribe",
        {
            "channel": "c", "token": "t", "data": "AA==", "recover": True, "epoch": "e", "offset": 3,
            "positioned": True, "recoverable": True, "join_leave": True, "delta": "fossil", "tf": {}, "flag": 3,
        },
        commands.SubscribeRequest(
            channel="c", token="t", data=b"\x00", recover=True, epoch="e", offset=3, positioned=True,
            recoverable=True, join_leave=True, delta="fossil", tf=True, flag=3,
        ),
    ),
    ("unsubscribe", {"channel": "c"}, commands.UnsubscribeRequest("c")),
    ("publish", {"channel": "c", "data": "AP8="}, commands.PublishRequest("c", b"\x00\xff")),
    ("presence", {"channel": "c"}, commands.PresenceRequest("c")),
    ("presence_stats", {"channel": "c"}, commands.PresenceStatsRequest("c")),
    (
        "history",
        {"channel": "c", "limit": -1, "since": {"offset": 5, "epoch": "e"}, "reverse": True},
        commands.HistoryRequest("c", -1, commands.StreamPosition(5, "e"), True),
    ),
    ("history", {"since": {}}, commands.HistoryRequest(since=commands.StreamPosition())),
    ("rpc", {"method": "m", "data": "AA=="}, commands.RpcRequest("m", b"\x00")),
    ("send", {"data": "AA=="}, commands.SendRequest(b"\x00")),
    ("send", {}, commands.SendRequest()),
    ("refresh", {"token": "t"}, commands.RefreshRequest("t")),
    ("sub_refresh", {"channel": "c", "token": "t"}, commands.SubRefreshRequest("c", "t")),
    ("ping", {}, commands.PingRequest()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "request_"), ALL_REQUESTS)
def test_every_command(name: str, body: dict[str, Any], request_: commands.Request) -> None:
    assert PROTOBUF.decode(framed(command(id=2**32 - 1, **{name: body}))) == [Command(2**32 - 1, name, request_)]


def test_every_command_of_the_schema_is_one_of_ours() -> None:
    """Whoever takes in a newer schema is told what the codec does not know yet."""
    for field in client_pb2.Command.DESCRIPTOR.fields:
        if field.name != "id":
            assert field.message_type is not None
            known = set(protobuf_codec._REQUESTS[field.name].__struct_fields__)
            assert {inner.name for inner in field.message_type.fields} <= known


def test_the_commands_of_a_frame_come_in_order() -> None:
    messages = [command(id=number, rpc={"method": "m" * number}) for number in (1, 200, 2)]
    assert [one.id for one in PROTOBUF.decode(framed(*messages, b""))] == [1, 200, 2, 0]


def test_an_empty_command_is_a_pong() -> None:
    assert PROTOBUF.decode(b"\x00") == [Command(0, "", None)]
    assert PROTOBUF.decode(framed(b"\x08\x00")) == [Command(0, "", None)]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type) -> None:
    assert PROTOBUF.decode(kind(framed(command(send={})))) == [Command(0, "send", commands.SendRequest())]


def test_fields_nobody_knows_are_ignored_in_a_command() -> None:
    message = client_pb2.Command(id=1, send=client_pb2.SendRequest()).SerializeToString() + b"\xf8\x07\x01"
    assert PROTOBUF.decode(framed(message)) == [Command(1, "send", commands.SendRequest())]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",
        b"\x80",
        b"\xff" * 9,
        b"\x80" * 10 + b"\x00",
        b"\xff" * 9 + b"\x01",
        b"\x00\x05\x08",
        framed(b"\x08"),
        framed(b"\x08\x01"),
        framed(b"\xf8\x07\x01"),
        framed(b"\xff\xff"),
        framed(command(id=1, send={}, rpc={})),
        framed(b"\x22\x02\x0a\xff"),
        framed(b"\x22\x03\x0a\x01\xff"),
    ],
    ids=[
        "empty", "truncated", "a length without an end", "a long length without an end", "an over-long length",
        "a huge length", "truncated after a pong", "a tag without a value", "an id without a name", "an unknown name",
        "no message", "two names", "a text that is cut", "a text that is not UTF-8",
    ],
)  # fmt: skip
def test_a_malformed_frame_is_refused_whole(frame: bytes) -> None:
    with pytest.raises(Malformed):
        PROTOBUF.decode(frame)
    if frame:
        with pytest.raises(Malformed):
            PROTOBUF.decode(framed(command(send={})) + frame)


INFO = ClientInfo("u", "c", b"\x00", b"\xff")
FULL = Publication(b'{\n"i": 1}', 7, INFO, {"k": "v"}, 1700)
INFO_READ = {"user": "u", "client": "c", "conn_info": "AA==", "chan_info": "/w=="}
FULL_READ = {"data": "ewoiaSI6IDF9", "offset": "7", "info": INFO_READ, "tags": {"k": "v"}, "time": "1700"}

REPLIES: list[tuple[Result, dict[str, Any]]] = [
    (
        results.ConnectResult(
            "c", "v", b"\x00", {"a": results.SubscribeResult(), "b": results.SubscribeResult(offset=1)},
            True, 60, 25, True, "s", "n", 5,
        ),
        {"connect": {
            "client": "c", "version": "v", "data": "AA==", "subs": {"a": {}, "b": {"offset": "1"}}, "expires": True,
            "ttl": 60, "ping": 25, "pong": True, "session": "s", "node": "n", "time": "5",
        }},
    ),
    (results.SubscribeResult(), {"subscribe": {}}),
    (
        results.SubscribeResult(True, 9, True, "e", [FULL, Publication(b"")], True, 2**64 - 1, True, b"\x00", True),
        {"subscribe": {
            "expires": True, "ttl": 9, "recoverable": True, "epoch": "e", "publications": [FULL_READ, {}],
            "recovered": True, "offset": str(2**64 - 1), "positioned": True, "data": "AA==", "was_recovering": True,
        }},
    ),
    (results.UnsubscribeResult(), {"unsubscribe": {}}),
    (results.PublishResult(), {"publish": {}}),
    (results.PresenceResult({"c": INFO}), {"presence": {"presence": {"c": INFO_READ}}}),
    (results.PresenceStatsResult(2, 1), {"presence_stats": {"num_clients": 2, "num_users": 1}}),
    (results.HistoryResult([FULL], "e", 7), {"history": {"publications": [FULL_READ], "epoch": "e", "offset": "7"}}),
    (results.RpcResult(b"\x00"), {"rpc": {"data": "AA=="}}),
    (results.RefreshResult("c", "v", True, 5), {"refresh": {"client": "c", "version": "v", "expires": True, "ttl": 5}}),
    (results.SubRefreshResult(True, 5), {"sub_refresh": {"expires": True, "ttl": 5}}),
]  # fmt: skip


@pytest.mark.parametrize(("result", "expected"), REPLIES)
def test_every_reply(result: Result, expected: dict[str, Any]) -> None:
    assert read(PROTOBUF.reply(12, result)) == {"id": 12, **expected}


PUSHES: list[tuple[Push, dict[str, Any]]] = [
    (FULL, {"pub": FULL_READ}),
    (Publication(b""), {"pub": {}}),
    (results.Join(INFO), {"join": {"info": INFO_READ}}),
    (results.Leave(INFO), {"leave": {"info": INFO_READ}}),
    (results.Unsubscribe(UnsubscribeCode.EXPIRED, "r"), {"unsubscribe": {"code": 2501, "reason": "r"}}),
    (results.Subscribe(True, "e", 1, True, b"\x00"), {"subscribe": {
        "recoverable": True, "epoch": "e", "offset": "1", "positioned": True, "data": "AA==",
    }}),
    (results.Message(b"\x00"), {"message": {"data": "AA=="}}),
    (results.DisconnectPush(3001, "shutdown"), {"disconnect": {"code": 3001, "reason": "shutdown"}}),
    (results.RefreshPush(True, 3), {"refresh": {"expires": True, "ttl": 3}}),
]  # fmt: skip


@pytest.mark.parametrize(("push", "expected"), PUSHES)
def test_every_push(push: Push, expected: dict[str, Any]) -> None:
    assert read(PROTOBUF.push("news", push)) == {"push": {"channel": "news", **expected}}
    assert read(PROTOBUF.push("", push)) == {"push": expected}


def test_an_error() -> None:
    expected = {"code": 111, "message": "too many requests", "temporary": True}
    assert read(PROTOBUF.error(5, ClientError(111))) == {"id": 5, "error": expected}


def test_records_are_joined_as_they_are() -> None:
    records = [PROTOBUF.reply(1, results.PublishResult()), PROTOBUF.ping, PROTOBUF.push("c", Publication(b"x" * 300))]
    first, second, third = replies(PROTOBUF.join(records))
    assert first.HasField("publish")
    assert second == published.Reply()
    assert third.push.pub.data == b"x" * 300


@given(st.binary(max_size=20_000))
@example(b"x" * 127)
@example(b"x" * 128)
@example(b"x" * 16_384)
def test_payloads_go_in_and_out_unchanged(payload: bytes) -> None:
    message = published.Command(id=1, publish=published.PublishRequest(channel="c", data=payload)).SerializeToString()
    (sent,) = PROTOBUF.decode(framed(message))
    assert isinstance(sent.request, commands.PublishRequest)
    assert sent.request.data == payload
    (reply,) = replies(PROTOBUF.push("c", Publication(sent.request.data)))
    assert reply.push.pub.data == payload


_BODIES = st.sampled_from([command(id=3, **{name: body}) for name, body, _ in ALL_REQUESTS])
_FRAMES = st.binary() | st.lists(_BODIES | st.binary(max_size=20), max_size=3).map(lambda some: framed(*some))


@given(_FRAMES, st.integers(0, 100), st.binary(max_size=2))
def test_any_bytes_are_commands_or_malformed(frame: bytes, at: int, splice: bytes) -> None:
    frame = frame[:at] + splice + frame[at + len(splice) :]
    try:
        found = PROTOBUF.decode(frame)
    except Malformed:
        return
    assert found
    for one in found:
        assert (one.name == "") == (one.request is None)
