"""Drain of a node: by SIGTERM or by POST, spread over its window, nothing accepted lost unanswered."""

import itertools
import signal
import socket
import threading
import time

import pytest

from flux_gateway.core.link import Released
from tests.integration.gateway.proxy_side import QUIET, ProxySide, fill, frames_in, to_end
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


def test_sessions_that_a_proxy_could_fetch_are_closed_in_the_second_half_only(stack: Stack, draining: Daemon) -> None:
    """All others are closed from the start: those without a proxy, and those whose proxy has no link here."""
    side, elsewhere = ProxySide(stack), ProxySide(stack, 8)
    with side.link(draining):
        waiting, waited = watch([side.open(draining)[1] for _ in range(10)])
        without, alone = watch(
            [connect(draining.address) for _ in range(5)] + [elsewhere.open(draining)[1] for _ in range(5)]
        )
        started = time.monotonic()
        assert draining.post("/drain?seconds=3")[0] == 202
        for thread in waiting + without:
            thread.join(10)
    assert {code for _, code in waited + alone} == {1012}
    for closed, begin in ((waited, 1.35), (alone, 0.0)):
        moments = sorted(moment - started for moment, _ in closed)
        assert len(moments) == 10
        assert begin <= moments[0] < begin + 0.5, moments
        # Evenly up to a tenth of the window before its end. Sessions alone have no more time than until then, either.
        assert moments[-1] < 3, moments
        assert max(later - earlier for earlier, later in itertools.pairwise(moments)) < 0.75, moments


def test_a_proxy_whose_link_breaks_in_a_drain_leaves_its_sessions_to_the_second_half(
    stack: Stack, draining: Daemon
) -> None:
    side = ProxySide(stack)
    told = side.link(draining)
    threads, closed = watch([side.open(draining)[1]])
    started = time.monotonic()
    assert draining.post("/drain?seconds=2")[0] == 202
    told.cut()
    threads[0].join(5)
    (moment, code), = closed
    assert code == 1012
    assert 0.9 <= moment - started < 2


def test_a_node_whose_sessions_have_all_left_stops_early(stack: Stack) -> None:
    stack.redis()
    node, side = stack.gateway(drain_timeout=30, ping_interval=QUIET), ProxySide(stack)
    with side.link(node) as told:
        wires = dict(side.open(node) for _ in range(20))
        node.signal(signal.SIGTERM)
        told.hear_state("DRAINING")
        told.agree(*wires)
        for session, wire in wires.items():
            wire.echo()
            assert side.fetch_agreed(told, session, wire)[1] == []
        started = time.monotonic()
        assert node.wait(5) == 0
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("reads", [True, False])
def test_a_node_that_stops_early_brings_its_last_answers_out(stack: Stack, reads: bool) -> None:
    """The session has left, but its client is still reading what the node answered before that. Has it stopped
    reading, the node waits no longer than for the answer to a close."""
    stack.redis()
    node, side = stack.gateway(drain_timeout=30, close_timeout=2, ping_interval=QUIET), ProxySide(stack)
    with side.link(node) as told:
        session, wire = side.open(node, receive_buffer=4096)
        sent = fill(wire, told)
        node.signal(signal.SIGTERM)
        told.hear_state("DRAINING")
        told.agree(session)
        wire.socket.shutdown(socket.SHUT_WR)
        started = time.monotonic()
        assert told.hear(Released).session == session
        if reads:
            time.sleep(1)  # slow, but in time
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
            assert [len(one.payload) for one in frames_in(to_end(wire))] == [4096] * sent
        assert node.wait(5) == 0
        assert 1 < time.monotonic() - started < 4
