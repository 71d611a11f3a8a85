"""`gateway.messaging.webhooks` against a real HTTP server: what it is asked, what comes of its answers and failures."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.messaging.webhooks.answers import (
    ConnectAnswer,
    PublishAnswer,
    RefreshAnswer,
    RpcAnswer,
    SubscribeAnswer,
)
from flux_gateway.gateway.messaging.webhooks.webhooks import EVENTS, Caller, WebhookFailed, Webhooks
from flux_gateway.messaging.codes import ClientError, Disconnect
from flux_gateway.messaging.commands import ConnectRequest, SubscribeRequest
from flux_gateway.messaging.tokens import SubscriptionGrant
from tests.unit.gateway.messaging.back_end import BackEnd, back_end

HEADERS = {"Cookie": "c=1", "Authorization": "Bearer x", "Host": "gateway", "Content-Type": "text/evil"}
JSON_CLIENT = Caller("c1", "42", "json", HEADERS, b'{"m":1}')
BINARY_CLIENT = Caller("c2", "", "protobuf", {}, b"")
EMPTY = json.dumps({"result": {}})

Ask = Callable[[Webhooks], Awaitable[Any]]
ASKING: dict[str, Ask] = {
    "connect": lambda hooks: hooks.connect(JSON_CLIENT, ConnectRequest()),
    "refresh": lambda hooks: hooks.refresh(JSON_CLIENT),
    "subscribe": lambda hooks: hooks.subscribe(JSON_CLIENT, "a", b"", ""),
    "publish": lambda hooks: hooks.publish(JSON_CLIENT, "a", b"1"),
    "rpc": lambda hooks: hooks.rpc(JSON_CLIENT, "m", b""),
    "sub_refresh": lambda hooks: hooks.sub_refresh(JSON_CLIENT, "a"),
}
RENEWING = ("refresh", "sub_refresh")


@contextlib.asynccontextmanager
async def hooked(**more: Any) -> AsyncIterator[tuple[BackEnd, Webhooks]]:
    async with back_end() as server:
        urls = {f"webhook_{event}_url": f"{server.url}/{event}" for event in EVENTS}
        hooks = Webhooks(MessagingSettings(**{**urls, "webhook_headers": ("cookie", "AUTHORIZATION"), **more}))
        try:
            yield server, hooks
        finally:
            await hooks.close()


def answered(event: str, answer: Any, ask: Ask | None = None) -> Any:
    """Ask once and return what comes of the answer."""

    async def main() -> Any:
        async with hooked() as (server, hooks):
            server.answer = answer if isinstance(answer, (str, bytes)) else json.dumps(answer)
            return await (ask or ASKING[event])(hooks)

    return asyncio.run(main())


def asked(ask: Ask) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask once and return the body and the headers that the server got."""

    async def main() -> tuple[dict[str, Any], dict[str, str]]:
        async with hooked() as (server, hooks):
            server.answer = EMPTY
            await ask(hooks)
            return server.asked[0], server.headers[0]

    return asyncio.run(main())


def test_there_is_a_webhook_where_there_is_a_url() -> None:
    hooks = Webhooks(MessagingSettings(webhook_rpc_url="http://127.0.0.1:1/"))
    assert [event for event in EVENTS if hooks.asks(event)] == ["rpc"]


COMMON = {"client": "c1", "transport": "websocket", "protocol": "json", "encoding": "json"}
PERSON = {**COMMON, "user": "42", "meta": {"m": 1}}


@pytest.mark.parametrize(
    ("ask", "body"),
    [
        (lambda hooks: hooks.refresh(JSON_CLIENT), PERSON),
        (lambda hooks: hooks.sub_refresh(JSON_CLIENT, "a"), {**PERSON, "channel": "a"}),
        (lambda hooks: hooks.subscribe(JSON_CLIENT, "a", b'{"d":1}', "tok"),
         {**PERSON, "channel": "a", "data": {"d": 1}, "token": "tok"}),
        (lambda hooks: hooks.publish(JSON_CLIENT, "a", b"[1]"), {**PERSON, "channel": "a", "data": [1]}),
        (lambda hooks: hooks.rpc(JSON_CLIENT, "m", b""), {**PERSON, "method": "m"}),
        (lambda hooks: hooks.rpc(BINARY_CLIENT, "m", b"\x00\xff"),
         {"client": "c2", "transport": "websocket", "protocol": "protobuf", "encoding": "binary", "user": "",
          "method": "m", "b64data": base64.b64encode(b"\x00\xff").decode()}),
    ],
)  # fmt: skip
def test_what_is_asked(ask: Ask, body: dict[str, Any]) -> None:
    assert asked(ask)[0] == body


def test_what_is_asked_of_a_new_client() -> None:
    request = ConnectRequest(
        data=b'{"d":1}', name="js", version="5", headers={"authorization": "mine", "X-Real-Ip": "1"},
        subs={"a": SubscribeRequest()},
    )  # fmt: skip
    body, headers = asked(lambda hooks: hooks.connect(JSON_CLIENT, request))
    assert body == {
        **COMMON, "name": "js", "version": "5", "data": {"d": 1}, "channels": ["a"],
        "headers": {"authorization": "mine"},
    }  # fmt: skip
    assert headers["authorization"] == "Bearer x", "what a client claims is never taken for its handshake"


def test_only_allowed_headers_are_passed_on() -> None:
    _, headers = asked(ASKING["rpc"])
    assert (headers["cookie"], headers["authorization"]) == ("c=1", "Bearer x")
    assert headers["content-type"] == "application/json"
    assert headers["host"].startswith("127.0.0.1:")


def test_a_payload_is_passed_byte_for_byte() -> None:
    async def main() -> None:
        async with hooked() as (server, hooks):
            server.answer = b'{"result": {"data": { "i" : 1.50 }}}'
            assert await hooks.rpc(JSON_CLIENT, "m", b'{"i": 1}') == RpcAnswer(b'{ "i" : 1.50 }')
            server.answer = json.dumps({"result": {"data": 1, "b64data": base64.b64encode(b"\xff").decode()}})
            assert await hooks.rpc(JSON_CLIENT, "m", b"") == RpcAnswer(b"\xff")

    asyncio.run(main())


OVERRIDE = {"override": {"presence": {"value": True}, "other": {"value": True}, "join_leave": None}}


@pytest.mark.parametrize(
    ("event", "result", "expected"),
    [
        ("connect", {}, ConnectAnswer("", 0, b"", b"", b"", {})),
        ("connect",
         {"user": "42", "expire_at": 5, "info": {"a": 1}, "data": [1], "meta": 3, "channels": ["a", "b"], "caps": [1],
          "subs": {"b": {"info": 1, "data": 2, **OVERRIDE}, "c": None}},
         ConnectAnswer("42", 5, b'{"a": 1}', b"[1]", b"3", {
             "a": SubscriptionGrant(), "b": SubscriptionGrant(b"1", b"2", {"presence": True}), "c": SubscriptionGrant(),
         })),
        ("refresh", {}, RefreshAnswer(False, 0, b"", b"")),
        ("refresh", {"expired": True}, RefreshAnswer(True, 0, b"", b"")),
        ("refresh", {"expire_at": 9, "info": 1, "meta": 2}, RefreshAnswer(False, 9, b"1", b"2")),
        ("sub_refresh", {"expire_at": 9, "info": None}, RefreshAnswer(False, 9, b"", b"")),
        ("subscribe", {}, SubscribeAnswer(b"", b"", 0, {})),
        ("subscribe", {"info": 1, "data": 2, "expire_at": 9, "allow": ["pub"], **OVERRIDE},
         SubscribeAnswer(b"1", b"2", 9, {"presence": True})),
        ("publish", {}, PublishAnswer(b"", False, {}, "", 0, "")),
        ("publish", {"data": 1, "skip_history": True, "tags": {"a": "b"}, "idempotency_key": "k", "version": 3,
                     "version_epoch": "e", "delta": True}, PublishAnswer(b"1", True, {"a": "b"}, "k", 3, "e")),
        ("rpc", {"data": {}}, RpcAnswer(b"{}")),
        ("rpc", {}, RpcAnswer(b"")),
    ],
)  # fmt: skip
def test_what_comes_of_a_result(event: str, result: Any, expected: Any) -> None:
    assert answered(event, {"result": result, "error": None, "disconnect": None}) == expected


@pytest.mark.parametrize("answer", [{}, {"result": None}])
def test_no_result_means_nobody_or_no_longer(answer: Any) -> None:
    assert [answered(event, answer) for event in ("connect", *RENEWING)] == [None] * 3


@pytest.mark.parametrize("event", ["connect", "subscribe", "publish", "rpc"])
def test_the_back_end_s_error(event: str) -> None:
    with pytest.raises(ClientError) as error:
        answered(event, {"result": {}, "error": {"code": 1000, "message": "no", "temporary": True}})
    assert (error.value.code, error.value.message, error.value.temporary) == (1000, "no", True)


@pytest.mark.parametrize("event", EVENTS)
def test_the_back_end_ends_a_connection(event: str) -> None:
    answer = {"result": {}, "error": {"code": 1000}, "disconnect": {"code": 4500, "reason": "enough"}}
    with pytest.raises(Disconnect) as error:
        answered(event, answer)
    assert (error.value.code, error.value.reason) == (4500, "enough")


@pytest.mark.parametrize("event", RENEWING)
def test_an_error_does_not_end_a_right(event: str) -> None:
    with pytest.raises(WebhookFailed, match="1000"):
        answered(event, {"error": {"code": 1000}})


GARBAGE = [
    "", "null", "[]", "<html>", '{"result": []}', '{"result": {"b64data": "!"}}', '{"result": {"b64info": "A"}}',
    b'{"result": {"data": "\xff"}}', '{"error": {}}', '{"error": {"code": 0}}', '{"error": {"code": "1"}}',
    '{"disconnect": {"code": 1000}}', '{"disconnect": {"code": 5000}}', '{"result": {"override": 1}}',
    pytest.param('{"result": {"data": ' + "[" * 100_000 + "]" * 100_000 + "}}", id="deep"),
    '{"result": {"data": 1}', '{"result": {"data": nope}}',
]  # fmt: skip


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_a_failure_and_the_client_may_try_again(answer: str | bytes) -> None:
    with pytest.raises(ClientError) as error:
        answered("subscribe", answer)
    assert (error.value.code, error.value.temporary) == (100, True)


@pytest.mark.parametrize("answer", ["{}", '{"result": null}'])
@pytest.mark.parametrize("event", ["subscribe", "publish", "rpc"])
def test_no_result_allows_nothing(event: str, answer: str) -> None:
    with pytest.raises(ClientError) as error:
        answered(event, answer)
    assert error.value.code == 100


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("outcome", ["status", "timeout", "unreachable", "too-large", "garbage", "redirect"])
def test_a_failed_call(event: str, outcome: str) -> None:
    async def main() -> None:
        more = {f"webhook_{event}_url": "http://127.0.0.1:9/"} if outcome == "unreachable" else {}
        async with hooked(webhook_timeout=0.2, **more) as (server, hooks):
            server.answer = EMPTY
            if outcome == "status":
                server.status = 201
            elif outcome == "redirect":
                server.status, server.answer_headers = 307, {"Location": f"{server.url}/{event}?again"}
            elif outcome == "timeout":
                server.delay = 2
            elif outcome == "too-large":
                server.answer = json.dumps({"result": {"data": "x" * 2**20}})
            elif outcome == "garbage":
                server.answer = "garbage"
            if event in RENEWING:
                with pytest.raises(WebhookFailed):
                    await ASKING[event](hooks)
            else:
                with pytest.raises(ClientError) as error:
                    await ASKING[event](hooks)
                assert (error.value.code, error.value.temporary) == (100, True)
            assert server.requests == (0 if outcome == "unreachable" else 1), "never repeated, never sent elsewhere"
            counted = "status" if outcome == "redirect" else outcome
            assert hooks.counters.outcomes == {(event, counted): 1}
            assert (hooks.counters.seconds[event] >= 0.2) is (outcome == "timeout")

    asyncio.run(main())


def test_outcomes_are_counted() -> None:
    async def main() -> None:
        async with hooked() as (server, hooks):
            server.answer = EMPTY
            await ASKING["rpc"](hooks)
            await ASKING["connect"](hooks)
            server.answer = '{"error": {"code": 1}}'
            with pytest.raises(ClientError):
                await ASKING["rpc"](hooks)
            server.answer = '{"disconnect": {"code": 4000}}'
            with pytest.raises(Disconnect):
                await ASKING["rpc"](hooks)
            server.delay = 5
            task = asyncio.create_task(asyncio.wait_for(ASKING["rpc"](hooks), 0.05))
            with pytest.raises(TimeoutError):
                await task
            assert hooks.counters.outcomes == {
                ("rpc", "ok"): 1, ("connect", "ok"): 1, ("rpc", "error"): 1, ("rpc", "disconnect"): 1,
                ("rpc", "cancelled"): 1,
            }  # fmt: skip

    asyncio.run(main())


def test_connections_are_kept() -> None:
    async def main() -> None:
        async with hooked() as (server, hooks):
            server.answer = EMPTY
            for _ in range(10):
                await ASKING["rpc"](hooks)
            assert len(server.peers) == 1

    asyncio.run(main())


def test_waiting_for_a_connection_counts_as_waiting() -> None:
    async def main() -> None:
        # A hundred connections at a time: the second hundred would have its answers after 2.4 s.
        async with hooked(webhook_timeout=2.0) as (server, hooks):
            server.answer, server.delay = EMPTY, 1.2
            many = await asyncio.gather(*(ASKING["rpc"](hooks) for _ in range(250)), return_exceptions=True)
            good = [one for one in many if isinstance(one, RpcAnswer)]
            late = [one for one in many if isinstance(one, ClientError)]
            assert len(good) + len(late) == 250
            assert len(good) == 100
            assert len(late) == 150
            assert len(server.peers) <= 200

    asyncio.run(main())
