"""Drain of a node: by SIGTERM or by POST, spread over its window, nothing accepted lost unanswered."""

import itertools
import signal
import threading
import time

import pytest

from tests.integration.gateway.wire import BINARY, CLOSE, Arrived, Wire, connect, frame, request
from tests.processes import Daemon, Stack, until


@pytest.fixture
def draining(stack: Stack) -> Daemon:
    """A gateway whose drain lasts three seconds."""
    stack.redis()
    return stack.gateway(drain_timeout=3)


def watch(clients: list[Wire]) -> tuple[list[threading.Thread], list[tuple[float, int]]]:
    """Note when, and with which code, each client is closed."""
    closed: list[tuple[float, int]] = []

    def wait(client: Wire) -> None:
        code, _ = client.closed()
        closed.append((time.monotonic(), code))

    threads = [threading.Thread(target=wait, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    return threads, closed


def test_sigterm_drains_evenly_and_exits(draining: Daemon) -> None:
    clients = [connect(draining.address) for _ in range(20)]
    threads, closed = watch(clients)
    started = time.monotonic()
    draining.signal(signal.SIGTERM)
    until(lambda: not draining.ready(), "readyz is 503", 0.5)
    with Wire(draining.address) as late:
        late.send(request())
        answer = late.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    for thread in threads:
        thread.join(10)
    assert draining.wait(5) == 0
    assert {code for _, code in closed} == {1012}
    moments = sorted(moment - started for moment, _ in closed)
    assert len(moments) == 20
    assert moments[-1] < 3.3
    # Twenty over 2.7 seconds: in each third of the window about a third of them, never many at once.
    thirds = [sum(1 for m in moments if low <= m < low + 0.95) for low in (0.0, 0.95, 1.9)]
    assert all(4 <= count <= 10 for count in thirds), moments
    for client in clients:
        client.socket.close()


def test_a_second_sigterm_ends_at_once(draining: Daemon) -> None:
    with connect(draining.address), connect(draining.address), connect(draining.address):
        draining.signal(signal.SIGTERM)
        until(lambda: not draining.ready(), "draining", 1)
        started = time.monotonic()
        draining.signal(signal.SIGTERM)
        draining.wait(2)
        assert time.monotonic() - started < 1.5


def test_a_drain_without_sessions_is_over_at_once(draining: Daemon) -> None:
    started = time.monotonic()
    draining.signal(signal.SIGTERM)
    assert draining.wait(2) == 0
    assert time.monotonic() - started < 2


def test_post_needs_the_token(draining: Daemon) -> None:
    for token in ("", "token-of-somebody-else-0123456789"):
        for path in ("/drain", "/undrain"):
            assert draining.post(path, token)[0] == 401
    assert draining.ready()


def test_drain_and_undrain_by_post(stack: Stack, draining: Daemon) -> None:
    with connect(draining.address) as client:
        assert draining.post("/drain?seconds=30") == (202, {"id": "gateway-1", "state": "DRAINING", "sessions": 1})
        assert draining.get("/readyz")[0] == 503
        with stack.registry() as registry:
            until(lambda: '"DRAINING"' in str(registry.hget("gateway:nodes", "gateway-1")), "the registry says so")
        assert draining.post("/undrain")[0] == 200
        assert draining.ready()
        with connect(draining.address) as other:
            other.echo()
        client.socket.close()
    assert draining.post("/undrain")[0] == 409


def test_a_drain_with_a_bad_window_is_refused(draining: Daemon) -> None:
    assert draining.post("/drain?seconds=soon")[0] == 409
    assert draining.ready()


def test_what_was_accepted_before_the_close_frame_is_answered(draining: Daemon) -> None:
    """Messages are sent all the while. The answers are the first ones sent, in order, without a gap; the close frame
    comes last."""
    with connect(draining.address) as client:
        sent = itertools.count()
        client.send(b"".join(frame(BINARY, str(next(sent))) for _ in range(200)))
        draining.post("/drain?seconds=1")
        arrived: list[Arrived] = []
        client.socket.settimeout(0.01)
        while not arrived or arrived[-1].opcode != CLOSE:
            client.send(b"".join(frame(BINARY, str(next(sent))) for _ in range(10)))
            try:
                while True:
                    arrived.append(client.read())
                    if arrived[-1].opcode == CLOSE:
                        break
            except TimeoutError:
                continue
    echoes = [int(one.payload) for one in arrived[:-1]]
    assert echoes == list(range(len(echoes)))
    assert len(echoes) >= 200
