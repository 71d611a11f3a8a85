"""Plain HTTP: what counts as such, what becomes of its head, and which node is asked when the first one fails."""

import asyncio

import pytest

from flux_gateway.core.http_head import parse_request
from flux_gateway.proxy.plain import is_plain, single
from tests.unit.proxy.test_retries import HOST, Behaviour, World, hang_up, say_503, stay_silent, world

HEAD = "{method} /connection/sse?session=alice HTTP/1.1\r\nHost: x\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def request(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("method", "path", "lines", "expected"),
    [
        ("POST", "/connection/http_stream", (), True),
        ("GET", "/connection/sse?cf_connect=%7B%7D", (), True),
        ("OPTIONS", "/emulation", ("Connection: keep-alive",), True),
        ("PUT", "/emulation", (), False),
        ("HEAD", "/connection/sse", (), False),
        ("POST", "/emulation/", (), False),
        ("GET", "/connection/websocket", (), False),
        ("GET", "/connection/sse", ("Connection: keep-alive, Upgrade", "Upgrade: websocket"), False),
    ],
)
def test_only_these_requests_are_plain(method: str, path: str, lines: tuple[str, ...], expected: bool) -> None:
    assert is_plain(parse_request(request(method, path, *lines))) is expected


@pytest.mark.parametrize(
    "lines", [(), ("Connection: keep-alive",), ("connection : close",), ("CONNECTION:", "Keep-Alive: timeout=5")]
)
def test_the_head_asks_for_one_answer_and_is_the_same_otherwise(lines: tuple[str, ...]) -> None:
    before, after = ("X-Connection: kept", "Cookie: a=b"), ("Content-Length: 2", "X-Odd:  kept  ")
    found = single(request("POST", "/emulation", *before, *lines, *after))
    assert found == request("POST", "/emulation", *before, *after, "Connection: close")


def test_what_upgrades_to_another_protocol_does_not_go_on() -> None:
    found = single(request("POST", "/emulation", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
    assert found == request("POST", "/emulation", "Connection: close")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve a request like a node that is well."""
    await reader.readuntil(b"Connection: close\r\n\r\n")
    writer.write(ANSWER)


async def _ask(made: World, method: str) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, made.port)
    try:
        writer.write(HEAD.format(method=method).encode() + b"\r\n")
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


def asked(bad: Behaviour | None, method: str) -> tuple[bytes, int]:
    async def run() -> tuple[bytes, int]:
        async with world(bad, answer) as made:
            return await _ask(made, method), made.counters.retries

    return asyncio.run(run())


@pytest.mark.parametrize("bad", [None, say_503, hang_up, stay_silent])
def test_a_get_is_served_by_the_next_rank(bad: Behaviour | None) -> None:
    assert asked(bad, "GET") == (ANSWER, 1)


@pytest.mark.parametrize("bad", [None, say_503])
def test_a_post_that_nobody_has_taken_is_served_by_the_next_rank(bad: Behaviour | None) -> None:
    assert asked(bad, "POST") == (ANSWER, 1)


@pytest.mark.parametrize(("bad", "status"), [(hang_up, b"502"), (stay_silent, b"504")])
def test_a_post_that_a_node_may_have_carried_out_is_not_repeated(bad: Behaviour, status: bytes) -> None:
    said, retries = asked(bad, "POST")
    assert said.startswith(b"HTTP/1.1 %b " % status)
    assert retries == 0
