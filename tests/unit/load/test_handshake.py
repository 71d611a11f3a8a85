"""`load.handshake` against the `websockets` library's server side."""

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol

from flux_gateway.load.handshake import LIMIT, HandshakeFailed, accept_of, read_response, request
from flux_gateway.load.plan import parse_url

NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="


def test_the_example_of_the_rfc() -> None:
    assert accept_of(NONCE) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_library_accepts_our_request_and_we_its_response() -> None:
    server = ServerProtocol()
    server.receive_data(request(parse_url("ws://127.0.0.1:8080/echo?a=1"), "load-7", NONCE))
    (event,) = server.events_received()
    assert isinstance(event, Request)
    assert event.path == "/echo?a=1&session=load-7"
    assert event.headers["Host"] == "127.0.0.1:8080"
    response = server.accept(event)
    response.headers["X-Flux-Node"] = "gateway-2"
    server.send_response(response)
    head = b"".join(server.data_to_send())
    assert read_response(head, NONCE) == (len(head), "gateway-2")
    assert read_response(head + b"\x82\x00", NONCE) == (len(head), "gateway-2")
    for cut in range(len(head)):
        assert read_response(head[:cut], NONCE) is None


GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.mark.parametrize(
    ("head", "cause"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HTTP 200"),
        (GOOD.replace(b"s3p", b"S3p"), "wrong Sec-WebSocket-Accept"),
        (GOOD.replace(b"Upgrade: WebSocket\r\n", b""), "101 without Upgrade: websocket"),
        (b"SSH-2.0-OpenSSH", "not an HTTP response"),
        (b"SSH-2.0\r\n\r\n", "not an HTTP response"),
        (b"HTTP/1.1 101 " + b"x" * LIMIT, "response head too long"),
    ],
)
def test_anything_else_fails_with_its_cause(head: bytes, cause: str) -> None:
    with pytest.raises(HandshakeFailed, match=cause):
        read_response(head, NONCE)


def test_without_the_header_the_node_has_no_name() -> None:
    assert read_response(GOOD, NONCE) == (len(GOOD), "")
