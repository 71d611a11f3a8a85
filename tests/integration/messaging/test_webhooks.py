"""A back end decides by webhook: who connects, who may do what, how long; also one that is slow, or down."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.messaging.backend import BackEnd
from tests.integration.messaging.scene import SDKS, fresh
from tests.processes import Daemon, Stack
from tests.sdk import javascript
from tests.sdk.client import CallFailed, SdkClient

Kind = tuple[str, str]
Make = Callable[..., SdkClient]

EVENTS = ("connect", "refresh", "subscribe", "publish", "rpc", "sub_refresh")

ASKED = {"subscribe_proxy_enabled": True, "publish_proxy_enabled": True, "presence": True,
         "allow_presence_for_subscriber": True}  # fmt: skip


@pytest.fixture(scope="module")
def back_end(shared: Stack) -> Iterator[BackEnd]:
    """The back end of the module's node."""
    with BackEnd(shared.host(9, 1)) as running:
        yield running


@pytest.fixture(scope="module")
def node(shared: Stack, back_end: BackEnd) -> Daemon:
    """A node that asks for everything."""
    hooks: dict[str, Any] = {f"messaging_webhook_{event}_url": f"{back_end.url}/{event}" for event in EVENTS}
    return shared.gateway(
        messaging_namespaces=json.dumps({"ask": ASKED}), messaging_webhook_headers="Cookie,X-Device",
        messaging_refresh_grace=1, **hooks,
    )  # fmt: skip


@pytest.fixture
def make(node: Daemon, back_end: BackEnd, kind: Kind) -> Iterator[Make]:
    """Make clients without a token; the back end says yes to everything but rpc, and forgets what it was asked."""
    back_end.asked.clear()
    back_end.answers = {
        "connect": lambda body: {"result": {"user": "ada"}},
        "subscribe": lambda body: {"result": {}},
        "publish": lambda body: {"result": {}},
        "rpc": lambda body: {"result": {"data": body}},
    }
    made: list[SdkClient] = []

    def client(**options: Any) -> SdkClient:
        one = SDKS[kind[0]](f"{node.url}/connection/websocket", protobuf=kind[1] == "protobuf", **options)
        one.start()
        made.append(one)
        return one

    yield client
    for one in made:
        one.stop()


def refused(client: SdkClient, channel: str) -> int:
    client.begin_subscribe(channel)
    code: int = client.wait("unsubscribed", channel=channel)["code"]
    return code


def test_a_connection_is_what_the_back_end_says(make: Make, back_end: BackEnd, kind: Kind) -> None:
    channel = fresh("ask")
    back_end.answers["connect"] = lambda body: {"result": {
        "user": "ada", "info": {"name": "Ada"}, "data": {"hello": 1}, "subs": {channel: {"info": {"seat": 7}}},
    }}  # fmt: skip
    client = make(data={"secret": 42}, name="phone", version="1.2")
    assert client.connect()["data"] == {"hello": 1}
    client.wait("subscribed", channel=channel, server=True)
    (info,) = client.presence(channel).values()
    assert (info["user"], info["conn_info"], info["chan_info"]) == ("ada", {"name": "Ada"}, {"seat": 7})
    (body,) = back_end.bodies("connect")
    assert (body["name"], body["version"], body["transport"], body["protocol"]) == (
        "phone", "1.2", "websocket", kind[1],
    )  # fmt: skip
    assert body["client"] == info["client"]
    assert body.get("data") == ({"secret": 42} if kind[1] == "json" else None)


def test_nobody_is_turned_away(make: Make, back_end: BackEnd) -> None:
    back_end.answers["connect"] = lambda body: {}
    client = make()
    client.call("connect")
    assert client.wait("disconnected")["code"] == 3501


def test_a_back_end_can_end_a_connection(make: Make, back_end: BackEnd) -> None:
    back_end.answers["connect"] = lambda body: {"disconnect": {"code": 4501, "reason": "banned"}}
    client = make()
    client.call("connect")
    event = client.wait("disconnected")
    assert (event["code"], event["reason"]) == (4501, "banned")


def test_a_connect_is_tried_again_after_a_failure(make: Make, back_end: BackEnd) -> None:
    del back_end.answers["connect"]  # 404
    client = make()
    client.call("connect")
    client.wait("error", code=100)
    back_end.answers["connect"] = lambda body: {"result": {"user": "ada"}}
    client.wait("connected")
    assert client.seen("disconnected") == []


def test_a_slow_back_end_is_an_error_that_holds_nobody_else_up(make: Make, back_end: BackEnd) -> None:
    client, other = make(), make()
    for one in (client, other):
        one.connect()
    done = threading.Event()
    slow = fresh("ask")

    def dawdle(body: dict[str, Any]) -> dict[str, Any]:
        if body["channel"] == slow:
            done.wait(5)
        return {"result": {}}

    back_end.answers["subscribe"] = dawdle
    began = time.monotonic()
    client.begin_subscribe(slow)
    other.subscribe(fresh("ask"))
    assert time.monotonic() - began < 0.9
    assert client.wait("error", channel=slow)["code"] == 100
    assert 0.9 < time.monotonic() - began < 3
    done.set()
    client.wait("subscribed", channel=slow)  # the SDK tries again


def test_a_subscription_needs_a_yes(make: Make, back_end: BackEnd) -> None:
    channel = fresh("ask")
    back_end.answers["subscribe"] = lambda body: {"error": {"code": 403, "message": "not you"}}
    client = make()
    client.connect()
    assert refused(client, channel) == 403
    back_end.answers["subscribe"] = lambda body: {"result": {"data": {"seat": 7}}}
    assert client.subscribe(channel)["data"] == {"seat": 7}
    assert {(body["user"], body["channel"]) for body in back_end.bodies("subscribe")} == {("ada", channel)}


def test_a_publication_is_what_the_back_end_makes_of_it(make: Make, back_end: BackEnd) -> None:
    channel = fresh("ask")
    client = make()
    client.connect()
    client.subscribe(channel)
    back_end.answers["publish"] = lambda body: {"result": {"data": {"checked": True}, "tags": {"a": "b"}}}
    client.publish(channel, {"raw_text": "x"})
    event = client.wait("publication", channel=channel)
    assert (event["data"], event["tags"], event["info"]["user"]) == ({"checked": True}, {"a": "b"}, "ada")
    back_end.answers["publish"] = lambda body: {"error": {"code": 1000, "message": "no"}}
    with pytest.raises(CallFailed) as failed:
        client.publish(channel, 1)
    assert failed.value.code == 1000
    assert len(client.data(channel)) == 1


def test_rpc_is_answered(make: Make, back_end: BackEnd, kind: Kind) -> None:
    client = make()
    client.connect()
    result = client.call("rpc", method="sum", data=[1, 2])["data"]
    assert (result["method"], result["user"]) == ("sum", "ada")
    assert result.get("data") == ([1, 2] if kind[1] == "json" else None)
    del back_end.answers["rpc"]
    with pytest.raises(CallFailed) as failed:
        client.call("rpc", method="sum", data=[1, 2])
    assert failed.value.code == 100


def test_a_connection_goes_on_as_long_as_the_back_end_says(make: Make, back_end: BackEnd) -> None:
    def soon(body: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"user": "ada", "expire_at": int(time.time()) + 2}}

    back_end.answers["connect"] = back_end.answers["refresh"] = soon
    client = make()
    client.connect()
    end = time.monotonic() + 8
    while len(back_end.bodies("refresh")) < 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.seen("token") == client.seen("disconnected") == []
    assert len(client.seen("connecting")) == 1
    back_end.answers["refresh"] = lambda body: {"result": {"expired": True}}
    back_end.answers["connect"] = lambda body: {"result": {"user": "ada"}}
    assert client.wait("connecting", after=client.mark)["code"] == 3005
    client.wait("connected", after=client.mark - 1)


def test_headers_of_the_handshake_are_passed_by_list(node: Daemon, back_end: BackEnd) -> None:
    back_end.asked.clear()
    back_end.answers = {"connect": lambda body: {"result": {"user": "ada"}}}
    given = {"Cookie": "a=b", "X-Device": "7", "X-Other": "no"}
    with SDKS["python"](f"{node.url}/connection/websocket", headers=given) as client:
        client.connect()
    (_, _, headers) = back_end.asked[0]
    assert (headers["cookie"], headers["x-device"], "x-other" in headers) == ("a=b", "7", False)
    if javascript.why_not():
        pytest.skip(javascript.why_not())
    # In a browser a WebSocket cannot have headers, so this SDK sends them in its connect command: not to be trusted.
    with SDKS["js"](f"{node.url}/connection/websocket", headers={"X-Device": "8", "X-Other": "no"}) as client:
        client.connect()
    _, body, headers = back_end.asked[-1]
    assert "x-device" not in headers
    assert body["headers"] == {"X-Device": "8"}
