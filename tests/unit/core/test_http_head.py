"""`core.http_head`: the request heads that are served, and those that are refused with which status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.errors import HttpError
from flux_gateway.core.http_head import (
    RequestHead,
    error_response,
    find_end,
    parse_request,
    require_websocket,
    response_status,
)  # fmt: skip
from tests.unit.core.support import SOME

HEAD = (
    b"GET /echo?session=a%20b HTTP/1.1\r\nHost: example\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: WebSocket\r\nX-Empty:\r\nX-Twice: one\r\nX-TWICE:  two \r\n\r\n"
)


def test_a_head_is_read_into_method_target_and_headers() -> None:
    request = parse_request(HEAD)
    assert (request.method, request.path, request.query) == ("GET", "/echo", "session=a%20b")
    assert request.header("host") == "example"
    assert request.header("x-empty") == ""
    assert request.header("x-missing") == ""
    assert request.header("x-twice") == "one"
    assert [value for name, value in request.headers if name == "x-twice"] == ["one", "two"]


def test_only_the_first_question_mark_starts_the_query() -> None:
    request = RequestHead("GET", "/a?b?c", ())
    assert (request.path, request.query) == ("/a", "b?c")


def test_a_token_is_found_in_any_of_the_lists_whatever_its_case() -> None:
    request = parse_request(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nconnection: a ,UPGRADE\r\n\r\n")
    assert request.has_token("connection", "upgrade")
    assert not request.has_token("connection", "grade")
    assert not request.has_token("upgrade", "upgrade")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 x\r\n\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / SMTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.10\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : value\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: value\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\rc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n", 400),
    ],
)
def test_what_is_malformed_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(HttpError) as refused:
        parse_request(head)
    assert refused.value.status == status


@SOME
@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_with_a_status(junk: bytes) -> None:
    for head in (junk + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + junk + b"\r\n\r\n"):
        try:
            request = parse_request(head)
        except HttpError as error:
            assert error.status in (400, 505)  # noqa: PT017 - either outcome is right
        else:
            assert all(not set(name + value) & set("\r\n\0") for name, value in request.headers)


@SOME
@given(st.integers(0, len(HEAD)), st.binary(max_size=5))
def test_every_prefix_asks_for_more_and_what_follows_the_head_is_left_alone(end: int, rest: bytes) -> None:
    assert find_end(HEAD[:end], 1000) == (len(HEAD) if end == len(HEAD) else -1)
    assert find_end(bytearray(HEAD + rest), 1000) == len(HEAD)


def test_a_head_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert find_end(HEAD, len(HEAD)) == len(HEAD)
    for data in (HEAD, HEAD[:-1] + b"x", b"A" * len(HEAD)):
        with pytest.raises(HttpError) as refused:
            find_end(data, len(HEAD) - 1)
        assert refused.value.status == 431
    assert find_end(HEAD + bytes(1000), len(HEAD)) == len(HEAD)


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\r\n", b"get /", b"\x00"])
def test_what_cannot_become_http_is_refused_at_its_first_byte(data: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        find_end(data, 1000)
    assert refused.value.status == 400


def test_a_websocket_request_passes() -> None:
    require_websocket(parse_request(HEAD))


@pytest.mark.parametrize(
    ("head", "status", "header"),
    [
        (HEAD.replace(b"GET", b"POST"), 405, ("Allow", "GET")),
        (HEAD.replace(b"WebSocket", b"h2c"), 426, ("Upgrade", "websocket")),
        (HEAD.replace(b", Upgrade", b""), 426, ("Upgrade", "websocket")),
    ],
)
def test_other_requests_are_told_what_is_served_here(head: bytes, status: int, header: tuple[str, str]) -> None:
    with pytest.raises(HttpError) as refused:
        require_websocket(parse_request(head))
    assert refused.value.status == status
    assert header in refused.value.headers


@pytest.mark.parametrize("error", [HttpError(431, "zu groß"), HttpError(426, "x", [("Connection", "Upgrade, close")])])
def test_an_error_is_answered_with_a_whole_response(error: HttpError) -> None:
    data = error_response(error)
    head, _, body = data.partition(b"\r\n\r\n")
    assert response_status(data) == error.status
    assert body.decode() == f"{error.status} {error}\n"
    lines = head.decode().split("\r\n")[1:]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert len(headers) == len(lines)
    assert int(headers["content-length"]) == len(body)
    assert "close" in headers["connection"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n", 101), (b"HTTP/1.0 503\r\n", 503), (b"HTTP/1.1 20", 0),
        (b"HTTP/2 200 OK\r\n", 0), (b"", 0), (b"garbage", 0),
    ],
)  # fmt: skip
def test_the_status_of_a_response(head: bytes, status: int) -> None:
    assert response_status(bytearray(head)) == status
