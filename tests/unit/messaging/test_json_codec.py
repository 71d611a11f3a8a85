"""The JSON codec, read by Python's own `json`: commands, replies, pushes, and payloads byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_gateway.core.frames import TEXT
from flux_gateway.messaging import commands, results
from flux_gateway.messaging.codec import Codec, Malformed, NotJson
from flux_gateway.messaging.codes import ClientError, UnsubscribeCode
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.json_codec import JSON
from flux_gateway.messaging.publication import ClientInfo, Publication
from flux_gateway.messaging.results import Push, Result

CODEC: Codec = JSON


def decode(text: str) -> list[Command]:
    return JSON.decode(text.encode())


def test_its_name_opcode_and_ping() -> None:
    assert (CODEC.name, CODEC.opcode, CODEC.ping) == ("json", TEXT, b"{}")


def test_the_frame_of_a_javascript_client() -> None:
    connect, subscribe = decode(
        '{"connect":{"name":"js"},"id":3}\n'
        '{"subscribe":{"channel":"news","flag":1,"recover":true,"offset":7,"epoch":"e1"},"id":4}'
    )
    assert connect == Command(3, "connect", commands.ConnectRequest(name="js"))
    request = commands.SubscribeRequest(channel="news", flag=1, recover=True, offset=7, epoch="e1")
    assert subscribe == Command(4, "subscribe", request)


ALL_REQUESTS: list[tuple[str, dict[str, Any], commands.Request]] = [
    (
        "connect",
        {
            "token": "t", "name": "n", "version": "v", "headers": {"a": "b"}, "flag": 5,
            "subs": {"c": {"recover": True, "epoch": "e", "offset": 2**64 - 1}},
        },
        commands.ConnectRequest(
            token="t", name="n", version="v", headers={"a": "b"}, flag=5,
            subs={"c": commands.SubscribeRequest(recover=True, epoch="e", offset=2**64 - 1)},
        ),
    ),
    (
        "subscribe",
        {
            "channel": "c", "token": "t", "recover": True, "epoch": "e", "offset": 3, "positioned": True,
            "recoverable": True, "join_leave": True, "delta": "fossil", "tf": {"op": "eq"}, "flag": 3, "type": 1,
        },
        commands.SubscribeRequest(
            channel="c", token="t", recover=True, epoch="e", offset=3, positioned=True, recoverable=True,
            join_leave=True, delta="fossil", tf=True, flag=3, type=1,
        ),
    ),
    ("unsubscribe", {"channel": "c"}, commands.UnsubscribeRequest("c")),
    ("publish", {"channel": "c", "type": 1, "key": "k"}, commands.PublishRequest("c", type=1, key="k")),
    ("presence", {"channel": "c"}, commands.PresenceRequest("c")),
    ("presence_stats", {"channel": "c"}, commands.PresenceStatsRequest("c")),
    (
        "history",
        {"channel": "c", "limit": -1, "since": {"offset": 5, "epoch": "e"}, "reverse": True},
        commands.HistoryRequest("c", -1, commands.StreamPosition(5, "e"), True),
    ),
    ("rpc", {"method": "m"}, commands.RpcRequest("m")),
    ("send", {}, commands.SendRequest()),
    ("refresh", {"token": "t"}, commands.RefreshRequest("t")),
    ("sub_refresh", {"channel": "c", "token": "t"}, commands.SubRefreshRequest("c", "t")),
    ("ping", {}, commands.PingRequest()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "request_"), ALL_REQUESTS, ids=[name for name, _, _ in ALL_REQUESTS])
def test_every_command(name: str, body: dict[str, Any], request_: commands.Request) -> None:
    text = json.dumps({"id": 9, name: {**body, "novel": [1]}, "novel": {}})
    assert decode(text) == [Command(9, name, request_)]


@pytest.mark.parametrize("name", ["connect", "subscribe", "publish", "rpc", "send"])
@pytest.mark.parametrize("payload", ['{"i": 1}', "[1.0,  2E+5]", '"\\u00e4 ä"', "null", "1e999", "{}", "0"])
def test_a_payload_is_its_exact_slice_of_the_text(name: str, payload: str) -> None:
    (command,) = decode(f'{{"id": 1, "{name}": {{"data":  {payload} }} }}')
    assert command.request is not None
    assert getattr(command.request, "data") == payload.encode()  # noqa: B009 (not every request has one)


def test_payloads_of_resumed_subscriptions_pass_too() -> None:
    (command,) = decode('{"id":1,"connect":{"subs":{"a":{"data":[ 1 ]}}}}')
    assert isinstance(command.request, commands.ConnectRequest)
    assert command.request.subs["a"].data == b"[ 1 ]"


@pytest.mark.parametrize(("text", "there"), [("{}", True), ('{"op":"eq"}', True), ("null", False)])
def test_only_the_presence_of_a_tag_filter_counts(text: str, there: bool) -> None:
    (command,) = decode(f'{{"id":1,"subscribe":{{"channel":"c","tf":{text}}}}}')
    assert command.request == commands.SubscribeRequest(channel="c", tf=there)


@pytest.mark.parametrize("text", ["{}", " {}", '{"id":0}', '{"connect":null}', "{}\n"])
def test_an_empty_command_is_a_pong(text: str) -> None:
    assert decode(text) == [Command(0, "", None)]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type) -> None:
    assert JSON.decode(kind(b'{"send":{"data":1}}')) == [Command(0, "send", commands.SendRequest(b"1"))]


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "{}\n\n", "\n{}", "{}\n\n{}", "{}\n ", "{", "[]", "1", "null", "{} {}", "{},", '{"id":1,}',
        '{"id":1}', '{"id":1,"novel":{}}', '{"novel":{}}', '{"id":1,"method":1,"params":{}}',
        '{"id":1,"rpc":{},"send":{}}',
        '{"id":"1","send":{}}', '{"id":-1,"send":{}}', '{"id":4294967296,"send":{}}', '{"id":true,"send":{}}',
        '{"id":1.5,"send":{}}', '{"id":null,"send":{}}', '{"id":1,"send":[]}', '{"id":1,"send":"x"}',
        '{"id":1,"subscribe":{"channel":1}}', '{"id":1,"subscribe":{"offset":"7"}}',
        '{"id":1,"subscribe":{"offset":-1}}', '{"id":1,"subscribe":{"offset":18446744073709551616}}',
        '{"id":1,"subscribe":{"recover":1}}', '{"id":1,"subscribe":{"flag":9223372036854775808}}',
        '{"id":1,"connect":{"headers":{"a":1}}}', '{"id":1,"connect":{"subs":{"a":[]}}}',
        '{"id":1,"connect":{"subs":{"a":{"offset":18446744073709551616}}}}',
        '{"id":1,"history":{"limit":2147483648}}', '{"id":1,"history":{"since":{"offset":18446744073709551616}}}',
        '{"id":1,"send":{"data":}}', '{"id":1,"send":{"data":01}}', '{"id":1,"send":{"data":"a\x01b"}}',
        '{"id":1,"send":{"data":' + "[" * 20_000 + "]" * 20_000 + "}}",
    ],
)  # fmt: skip
def test_a_malformed_frame_is_refused_whole(text: str) -> None:
    with pytest.raises(Malformed):
        decode(text)
    if text:  # one line end after the last command is tolerated
        with pytest.raises(Malformed):
            decode('{"send":{}}\n' + text)


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_text_that_is_not_utf_8_is_malformed_even_in_a_payload(bad: bytes) -> None:
    with pytest.raises(Malformed):
        JSON.decode(b'{"send":{"data":"' + bad + b'"}}')


INFO = ClientInfo("u", "c")
FULL = Publication(b'{"i": 1}', 7, ClientInfo("u", "c", b"1", b"[ ]"), {"k": "v"}, 1700)
FULL_JSON = (
    '{"data":{"i": 1},"offset":7,"info":{"user":"u","client":"c","conn_info":1,"chan_info":[ ]},'
    '"tags":{"k":"v"},"time":1700}'
)

REPLIES: list[tuple[Result, str]] = [
    (results.ConnectResult("c", "v"), '"connect":{"client":"c","version":"v"}'),
    (
        results.ConnectResult(
            "c", "v", b"{ }", {"a": results.SubscribeResult(), "b": results.SubscribeResult(offset=1)},
            True, 60, 25, True, "s", "n", 5,
        ),
        '"connect":{"client":"c","version":"v","data":{ },"subs":{"a":{},"b":{"offset":1}},"expires":true,"ttl":60,'
        '"ping":25,"pong":true,"session":"s","node":"n","time":5}',
    ),
    (results.SubscribeResult(), '"subscribe":{}'),
    (
        results.SubscribeResult(True, 9, True, "e", [FULL, Publication(b"2")], True, 2**64 - 1, True, b"3", True),
        f'"subscribe":{{"expires":true,"ttl":9,"recoverable":true,"epoch":"e","publications":[{FULL_JSON},{{"data":2}}],'
        '"recovered":true,"offset":18446744073709551615,"positioned":true,"data":3,"was_recovering":true}',
    ),
    (results.UnsubscribeResult(), '"unsubscribe":{}'),
    (results.PublishResult(), '"publish":{}'),
    (results.PresenceResult(), '"presence":{"presence":{}}'),
    (
        results.PresenceResult({"c": INFO, "d": ClientInfo("", "d", b'"x"')}),
        '"presence":{"presence":{"c":{"user":"u","client":"c"},"d":{"user":"","client":"d","conn_info":"x"}}}',
    ),
    (results.PresenceStatsResult(), '"presence_stats":{"num_clients":0,"num_users":0}'),
    (results.HistoryResult(), '"history":{"publications":[],"epoch":"","offset":0}'),
    (results.HistoryResult([FULL], "e", 7), f'"history":{{"publications":[{FULL_JSON}],"epoch":"e","offset":7}}'),
    (results.RpcResult(), '"rpc":{}'),
    (results.RpcResult(b"null"), '"rpc":{"data":null}'),
    (results.RefreshResult("c", "v", True, 5), '"refresh":{"client":"c","version":"v","expires":true,"ttl":5}'),
    (results.SubRefreshResult(True, 5), '"sub_refresh":{"expires":true,"ttl":5}'),
]  # fmt: skip


@pytest.mark.parametrize(("result", "text"), REPLIES)
def test_every_reply(result: Result, text: str) -> None:
    record = JSON.reply(12, result)
    assert record.decode() == f'{{"id":12,{text}}}'
    json.loads(record)


PUSHES: list[tuple[Push, str]] = [
    (FULL, f'"pub":{FULL_JSON}'),
    (Publication(b"1"), '"pub":{"data":1}'),
    (results.Join(INFO), '"join":{"info":{"user":"u","client":"c"}}'),
    (results.Leave(INFO), '"leave":{"info":{"user":"u","client":"c"}}'),
    (results.Unsubscribe(UnsubscribeCode.EXPIRED, ""), '"unsubscribe":{"code":2501,"reason":""}'),
    (results.Subscribe(True, "e", 1, True, b"1"), '"subscribe":{"recoverable":true,"epoch":"e","offset":1,'
     '"positioned":true,"data":1}'),
    (results.Subscribe(), '"subscribe":{}'),
    (results.Message(b"1"), '"message":{"data":1}'),
    (results.DisconnectPush(3001, "shutdown"), '"disconnect":{"code":3001,"reason":"shutdown"}'),
    (results.RefreshPush(True, 3), '"refresh":{"expires":true,"ttl":3}'),
    (results.RefreshPush(), '"refresh":{}'),
]  # fmt: skip


@pytest.mark.parametrize(("push", "text"), PUSHES)
def test_every_push(push: Push, text: str) -> None:
    assert JSON.push("news", push).decode() == f'{{"push":{{"channel":"news",{text}}}}}'
    assert JSON.push("", push).decode() == f'{{"push":{{{text}}}}}'


def test_an_error_says_code_and_message_always_and_temporary_if_it_is() -> None:
    assert JSON.error(5, ClientError(103)) == b'{"id":5,"error":{"code":103,"message":"permission denied"}}'
    error = ClientError(2000, 'say "x"\n', temporary=True)
    assert json.loads(JSON.error(5, error))["error"] == {"code": 2000, "message": 'say "x"\n', "temporary": True}


@pytest.mark.parametrize(
    ("payload", "line"),
    [(b'{\n\t"1":\r\n2}', b'{ \t"1":  2}'), (b"[\r1]", b"[ 1]"), (b"[\n1]", b"[ 1]"), (b'"\\n\\r"', b'"\\n\\r"')],
)
def test_line_ends_in_payloads_become_spaces(payload: bytes, line: bytes) -> None:
    assert JSON.push("c", results.Message(payload)) == b'{"push":{"channel":"c","message":{"data":' + line + b"}}}"


@pytest.mark.parametrize(
    "payload",
    [b" ", b"{", b"x", b"\x00", b"1 2", b"{}}", b"NaN", b'"\xff"', b'"a\nb"', b"[" * 20_000 + b"]" * 20_000, b"\xef"],
)
def test_a_payload_that_is_not_json_is_found(payload: bytes) -> None:
    info = ClientInfo("u", "c", chan_info=payload)
    for push in (Publication(payload), Publication(b"1", info=info), results.Join(info), results.Message(payload)):
        with pytest.raises(NotJson):
            JSON.push("c", push)
    with pytest.raises(NotJson):
        JSON.reply(1, results.RpcResult(payload))
    with pytest.raises(NotJson):
        JSON.reply(1, results.PresenceResult({"c": info}))


def test_records_are_joined_by_line_ends() -> None:
    records = [JSON.reply(1, results.PublishResult()), JSON.ping, JSON.push("c", Publication(b"[\n1]"))]
    frame = JSON.join(records)
    assert [json.loads(line) for line in frame.split(b"\n")] == [json.loads(record) for record in records]
    assert JSON.join(records[:1]) == records[0]


_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_PAYLOADS = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only),
    _JSON_VALUES,
    st.sampled_from([None, 1]),
    st.booleans(),
).filter(lambda text: "\\ud" not in text)  # halves of surrogate pairs are not text


@given(_PAYLOADS)
def test_payloads_go_in_and_out_unchanged(payload: str) -> None:
    one_line = payload.replace("\n", " ")
    (command,) = decode(f'{{"id":1,"publish":{{"channel":"c","data":{one_line}}}}}')
    assert isinstance(command.request, commands.PublishRequest)
    assert command.request.data == one_line.encode()
    record = JSON.push("c", Publication(payload.encode(), info=INFO))
    assert f'"data":{one_line},"info"'.encode() in record
    assert json.loads(record)["push"]["pub"]["data"] == json.loads(payload)


_NAMES = st.sampled_from([name for name, _, _ in ALL_REQUESTS] + ["id", "novel"])
_FIELDS = st.sampled_from([
    "channel", "token", "data", "recover", "epoch", "offset", "flag", "type", "tf", "subs", "headers", "since", "limit",
])  # fmt: skip
_ALMOST_COMMANDS = st.dictionaries(
    _NAMES, st.integers(0, 9) | st.dictionaries(_FIELDS, _JSON_VALUES, max_size=4), max_size=2
).map(json.dumps)
_FRAMES = st.binary() | st.lists(_ALMOST_COMMANDS, max_size=3).map(lambda lines: "\n".join(lines).encode())


@given(_FRAMES, st.integers(0, 200), st.binary(max_size=2))
@example(b'{"send":{"data":"\\ud800"}}', 300, b"")
@example(b'{"id":1,"rpc":{"data":"","method":""}}', 25, b"\xe2\x28")
def test_any_bytes_are_commands_or_malformed(frame: bytes, at: int, splice: bytes) -> None:
    frame = frame[:at] + splice + frame[at + len(splice) :]
    try:
        found = JSON.decode(frame)
    except Malformed:
        return
    assert len(found) == frame.removesuffix(b"\n").count(b"\n") + 1
    for command in found:
        assert (command.name == "") == (command.request is None)
        payload = getattr(command.request, "data", b"")
        # What a client may send, its peers can be sent: no client ends another's connection.
        JSON.push("c", Publication(payload))
