"""Plain HTTP on a node: requests that cannot be served, odd ways to send one, and pages of other origins."""

import json
import signal
import socket
from typing import Any

import pytest

from tests.integration.gateway.plain_http import (
    CONNECT,
    EMULATION,
    HTTP_STREAM,
    SSE,
    Stream,
    asked,
    emulated,
    head,
)
from tests.integration.gateway.wire import Wire
from tests.processes import Daemon, Stack

INSECURE: dict[str, Any] = {"messaging_insecure": "true"}


@pytest.fixture(scope="module")
def node(shared: Stack) -> Daemon:
    """A node that waits no longer than a second."""
    return shared.gateway(**INSECURE, close_timeout=1, head_timeout=1)


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "text"),
    [
        ("GET", HTTP_STREAM, {}, 405, "use POST here"),
        ("POST", SSE, {"Content-Length": "0"}, 405, "use GET here"),
        ("PUT", EMULATION, {"Content-Length": "0"}, 405, "use POST here"),
        ("GET", SSE, {}, 400, "the query needs a connect command: cf_connect=..."),
        ("GET", SSE + "?cf_connect=", {}, 400, "the query needs a connect command: cf_connect=..."),
        ("POST", HTTP_STREAM, {}, 411, "a Content-Length is needed"),
        ("POST", EMULATION, {"Transfer-Encoding": "chunked"}, 411, "send the body whole, with a Content-Length"),
        ("POST", HTTP_STREAM, {"Content-Length": "-1"}, 400, "malformed Content-Length"),
        ("POST", HTTP_STREAM, {"Content-Length": "1", "content-length": "2"}, 400, "malformed Content-Length"),
        ("POST", HTTP_STREAM, {"Content-Length": "65537"}, 413, "body larger than 65536 bytes"),
        ("POST", HTTP_STREAM, {"Content-Length": "9" * 5000}, 413, "body larger than 65536 bytes"),
        ("POST", EMULATION, {"Content-Length": "132097"}, 413, "body larger than 132096 bytes"),
        ("POST", HTTP_STREAM, {"Content-Length": "5"}, 408, "the request's body did not come in time"),
    ],
)
def test_heads_that_are_refused(
    node: Daemon, method: str, target: str, headers: dict[str, str], status: int, text: str
) -> None:
    with Wire(node.address) as wire:
        wire.send(head(method, target, {"Host": "test", **headers}))
        answer = wire.answer()
        assert (answer.status, answer.body) == (status, f"{status} {text}\n")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert wire.socket.recv(1) == b""


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"session":1}', "application/json", 400),
        (b'{"session":"\xff"}', "application/json", 400),
        (b'{"session":"s","node":"gateway-1","data":"\\ud800"}', "application/json", 400),
        (b"{}", "application/json", 404),
        (b"\xff", "application/octet-stream", 400),
        (b"", "application/octet-stream; x=y", 404),
        (emulated(data="x" * 65_536), "application/json", 204),
        (emulated(data='"' * 65_536), "application/json", 204),
        (emulated(data="x" * 65_537), "application/json", 413),
    ],
)
def test_bodies_of_emulation(node: Daemon, body: bytes, content_type: str, status: int) -> None:
    assert asked(node.address, "POST", EMULATION, body, {"Content-Type": content_type}).status == status


def test_what_is_sent_after_a_refusal_does_not_destroy_it(node: Daemon) -> None:
    with Wire(node.address) as wire:
        wire.send(head("POST", HTTP_STREAM, {"Host": "test", "Content-Length": "1000000"}) + bytes(500_000))
        assert wire.answer().status == 413
        assert wire.socket.recv(1) == b""
        for _ in range(5):
            wire.send(bytes(100_000))  # no reset, which would destroy an answer that is still on its way


def test_a_client_that_asks_whether_to_send_its_body(node: Daemon) -> None:
    body = json.dumps(CONNECT).encode()
    values = {"Host": "test", "Content-Length": str(len(body)), "Expect": "100-continue"}
    with Wire(node.address) as wire:
        wire.send(head("POST", HTTP_STREAM, values))
        assert wire.take(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().status == 200


def test_a_client_that_leaves_within_its_body_leaves_nothing(node: Daemon) -> None:
    with Wire(node.address) as wire:
        wire.send(head("POST", EMULATION, {"Host": "test", "Content-Length": "10"}) + b"{")
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.socket.recv(1) == b""


def test_a_node_that_stops_waits_for_no_body(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway(**INSECURE, head_timeout=60, close_timeout=60, drain_timeout=0)
    values = {"Host": "test", "Content-Length": "10"}
    with Wire(node.address) as unfinished, Wire(node.address) as refused:
        unfinished.send(head("POST", HTTP_STREAM, values))
        refused.send(head("GET", HTTP_STREAM, values))
        assert refused.answer().status == 405
        node.signal(signal.SIGTERM)
        assert node.wait() == 0


# Pages of other origins.


def preflight(node: Daemon, path: str, origin: str) -> dict[str, str]:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = asked(node.address, "OPTIONS", path, headers=asks)
    assert answer.status in (204, 403)
    return {name: value for name, value in answer.headers.items() if name == "vary" or name.startswith("access-")}


def test_any_page_may_come_where_no_origins_are_set(node: Daemon) -> None:
    assert preflight(node, EMULATION, "https://elsewhere.example") == {
        "access-control-allow-origin": "*", "access-control-allow-methods": "POST",
        "access-control-allow-headers": "content-type", "access-control-max-age": "3600",
    }  # fmt: skip
    client = Stream(node.address, SSE, headers={"Origin": "https://elsewhere.example"})
    assert client.answer.headers["access-control-allow-origin"] == "*"
    answer = asked(node.address, "POST", EMULATION, emulated(), {"Origin": "https://elsewhere.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")


def test_only_the_origins_that_are_set(shared: Stack, node: Daemon) -> None:
    site = "https://site.example"
    node = shared.gateway(**INSECURE, allowed_origins=site)
    assert preflight(node, SSE, site) == {
        "access-control-allow-origin": site, "access-control-allow-methods": "GET", "vary": "Origin",
        "access-control-allow-headers": "content-type", "access-control-max-age": "3600",
    }  # fmt: skip
    assert preflight(node, SSE, "https://evil.example") == {"vary": "Origin"}
    for path in (HTTP_STREAM, SSE):
        headers = Stream(node.address, path, headers={"Origin": site}).answer.headers
        assert headers["access-control-allow-origin"] == site
        assert "access-control-allow-origin" not in Stream(node.address, path).answer.headers
    body = json.dumps(CONNECT).encode()
    for path in (HTTP_STREAM, EMULATION):
        assert asked(node.address, "POST", path, body, {"Origin": "https://evil.example"}).status == 403
