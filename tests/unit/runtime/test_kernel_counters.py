"""`runtime.kernel_counters` against what was really sent and read on TCP connections."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from flux_gateway.runtime.kernel_counters import consumed, sent

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["127.0.0.1", "::1"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """The side that connected, and the one that accepted."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((request.param, 0), family=family))
        near = stack.enter_context(socket.create_connection(listener.getsockname()[:2], timeout=10))
        far = stack.enter_context(listener.accept()[0])
        far.settimeout(10)
        yield near, far


def arrived(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def unread(sock: socket.socket) -> int:
    sock.setblocking(False)
    try:
        return len(sock.recv(10**7, socket.MSG_PEEK))
    except BlockingIOError:
        return 0
    finally:
        sock.settimeout(10)


def test_a_fresh_connection_has_carried_nothing_on_either_side(ends: Ends) -> None:
    near, far = ends
    arrived(lambda: sent(far, False) == 0)
    assert (consumed(near), consumed(far), sent(near, True)) == (0, 0, 0)


def test_what_is_sent_counts_before_it_is_acknowledged_and_what_is_unread_does_not_count(ends: Ends) -> None:
    near, far = ends
    near.sendall(b"x" * 1000)
    assert sent(near, True) == 1000
    arrived(lambda: unread(far) == 1000)
    assert consumed(far) == 0
    assert far.recv(400) == b"x" * 400
    assert consumed(far) == 400
    assert consumed(near) == sent(far, False) == 0


def test_with_all_buffers_full_both_sides_are_exact(ends: Ends) -> None:
    near, far = ends
    near.setblocking(False)
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            total += near.send(b"y" * 100_000)
    assert total > 100_000
    assert sent(near, True) == total
    read = len(far.recv(54_321))
    assert consumed(far) == read
    assert sent(near, True) == total


@pytest.mark.parametrize("late", [False, True])
def test_a_half_close_counts_for_nothing_before_and_after_it_is_seen(ends: Ends, late: bool) -> None:
    near, far = ends
    far.sendall(b"abc")
    near.sendall(b"12345")
    near.shutdown(socket.SHUT_WR)
    if late:
        arrived(lambda: unread(far) == 5)
        time.sleep(0.05)
    assert sent(near, True) == 5
    assert far.recv(2) == b"12"
    assert consumed(far) == 2
    assert far.recv(10) == b"345"
    assert far.recv(10) == b""
    assert consumed(far) == 5
    assert sent(far, False) == 3
    assert near.recv(10) == b"abc"
    assert consumed(near) == 3
    far.sendall(b"more")  # the other half goes on
    assert sent(far, False) == 7


def test_they_are_exact_at_any_moment_of_a_stream(ends: Ends) -> None:
    """The kernel changes the counters while they are read; a sum of two moments would be wrong now and then."""
    near, far = ends
    chance = random.Random(4)
    stop = threading.Event()
    got = 0

    def reader() -> None:
        nonlocal got
        while not stop.is_set() and (data := far.recv(65_536)):
            got += len(data)

    thread = threading.Thread(target=reader)
    thread.start()
    try:
        total = 0
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            size = chance.randrange(1, 60_000)
            near.sendall(b"z" * size)
            total += size
            assert sent(near, True) == total
    finally:
        near.shutdown(socket.SHUT_WR)
        thread.join(10)
        stop.set()
    assert got == total == consumed(far)


def test_reading_is_exact_while_more_arrives(ends: Ends) -> None:
    near, far = ends
    end = time.monotonic() + 1.0

    def writer() -> None:
        while time.monotonic() < end:
            near.sendall(b"z" * 1234)
        near.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=writer)
    thread.start()
    read = 0
    try:
        while data := far.recv(997):
            read += len(data)
            assert consumed(far) == read
    finally:
        thread.join(10)


def test_a_connection_that_is_over_has_no_counters(ends: Ends) -> None:
    near, far = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    for count in (consumed, lambda sock: sent(sock, True)):
        with pytest.raises(OSError, match="closed"):
            count(near)
    with socket.socket() as fresh, pytest.raises(OSError, match="closed"):
        consumed(fresh)
