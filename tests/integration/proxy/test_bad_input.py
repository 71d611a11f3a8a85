"""What should not be sent, to a node directly and through a proxy: refused with its own status, others unaffected."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.integration.gateway.wire import TEXT, Arrived, Wire, connect, frame, request
from tests.processes import Daemon, Stack

HEAD_TIMEOUT = 1.5


@pytest.fixture(scope="module")
def both(shared: Stack) -> dict[str, Daemon]:
    """A node and a proxy before it, impatient with slow heads and choosy about origins."""
    node = shared.gateway(head_timeout=HEAD_TIMEOUT, allowed_origins="https://good.example")
    return {"direct": node, "proxied": shared.proxy(head_timeout=HEAD_TIMEOUT)}


@pytest.fixture(params=["direct", "proxied"])
def target(request: pytest.FixtureRequest, both: dict[str, Daemon]) -> Daemon:
    """Each way to a node in turn."""
    found: Daemon = both[request.param]
    return found


@pytest.fixture(autouse=True)
def others_go_on(target: Daemon) -> Iterator[None]:
    """A client that echoes all the while, and is never kept waiting."""
    over, times = threading.Event(), []

    def talk(client: Wire) -> None:
        while not over.is_set():
            times.append(client.echo())
            time.sleep(0.01)

    with connect(target.address) as client:
        thread = threading.Thread(target=talk, args=(client,))
        thread.start()
        yield
        over.set()
        thread.join(10)
        assert times
        assert max(times) < 1


HEADS = {
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "malformed request line": (b"GET  /echo HTTP/1.1\r\n\r\n", 400),
    "malformed header": (b"GET /echo HTTP/1.1\r\nno colon\r\n\r\n", 400),
    "space before the colon": (b"GET /echo HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "control character in a value": (request(headers={"X-Odd": "a\x01b"}), 400),
    "folded header": (b"GET /echo HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
    "two hosts": (request(headers={"Host": "a\r\nHost: b"}), 400),
    "no key": (request(headers={"Sec-WebSocket-Key": ""}), 400),
    "bad key": (request(headers={"Sec-WebSocket-Key": "c2hvcnQ="}), 400),
    "head too large": (request(headers={"X-Large": "x" * 16_384}), 431),
    "head too large and unfinished": (b"GET /echo HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
    "plain HTTP": (b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 426),
    "another upgrade": (request(headers={"Upgrade": "h2c"}), 426),
    "old WebSocket version": (request(headers={"Sec-WebSocket-Version": "8"}), 426),
    "POST": (request().replace(b"GET", b"POST"), 405),
    "unknown path": (request("/nowhere"), 404),
    "wrong origin": (request(headers={"Origin": "https://evil.example"}), 403),
    "HTTP/2": (request().replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
}


@pytest.mark.parametrize("name", HEADS)
def test_bad_heads_are_refused_with_their_status(target: Daemon, name: str) -> None:
    data, expected = HEADS[name]
    with Wire(target.address) as client:
        client.send(data)
        answer = client.answer()
        assert answer.status == expected, answer
        assert answer.body.startswith(str(expected))
        if name == "old WebSocket version":
            assert answer.headers["sec-websocket-version"] == "13"
        assert client.socket.recv(1) == b"", "the server ends it"


def test_a_head_of_just_the_limit_is_served(target: Daemon) -> None:
    padding = 16_384 - len(request(headers={"X-Large": "x"})) + 1
    with Wire(target.address) as client:
        head = request(headers={"X-Large": "x" * padding})
        assert len(head) == 16_384
        client.send(head)
        assert client.answer().status == 101


@pytest.mark.parametrize("trickle", [False, True], ids=["silent", "byte by byte"])
def test_slow_heads_time_out(target: Daemon, trickle: bool) -> None:
    """A byte a tenth of a second: each one is progress, but the head as a whole has its time."""
    started = time.monotonic()
    with Wire(target.address) as client:
        if trickle:
            client.socket.settimeout(0.1)
            for byte in request():
                client.send(bytes([byte]))
                try:
                    client.answer()
                except TimeoutError:
                    continue
                break
        else:
            assert client.answer().status == 408
    assert HEAD_TIMEOUT - 0.2 < time.monotonic() - started < HEAD_TIMEOUT + 2
    name = "flux_proxy_clients_refused_total" if "proxy" in target.name else "flux_node_handshakes_refused_total"
    assert target.metric(name, reason="408") >= 1


def test_half_open_clients_do_not_hold_anything_up(target: Daemon) -> None:
    crowd = [Wire(target.address) for _ in range(100)]
    for number, client in enumerate(crowd):
        client.send(request()[: number % 60])
    with connect(target.address) as client:
        assert client.echo() < 1
    assert {client.answer().status for client in crowd} == {408}


@pytest.mark.parametrize(("data", "code"), [
    (frame(0x3, "x"), 1002), (frame(TEXT, "x", masked=False), 1002), (frame(TEXT, b"\xff"), 1007),
    (frame(TEXT, "x" * (2**20 + 1)), 1009),
], ids=["opcode", "unmasked", "not UTF-8", "too big"])  # fmt: skip
def test_bad_frames(target: Daemon, data: bytes, code: int) -> None:
    with connect(target.address) as client:
        client.send(frame(TEXT, "before") + data)
        assert client.read() == Arrived(TEXT, b"before")
        assert client.closed()[0] == code


def test_one_byte_at_a_time_is_slow_and_right(target: Daemon) -> None:
    with Wire(target.address) as client:
        for byte in request() + frame(TEXT, "slow"):
            client.send(bytes([byte]))
        assert client.answer().status == 101
        assert client.read() == Arrived(TEXT, b"slow")
