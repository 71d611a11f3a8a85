"""Plain HTTP through the proxy: streamed answers, bodies, and how such an exchange ends."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from flux_gateway.core.slots import Slots, slot_of
from tests.integration.gateway.wire import Wire, request
from tests.integration.proxy.backend import Backend
from tests.integration.proxy.holdings import NOTHING, keeper, wait_for_holdings
from tests.integration.proxy.scripted_node import ScriptedNode
from tests.integration.proxy.test_back_pressure import BULK, MEBI, _until_still, drain, fill, proxy_address
from tests.processes import Daemon, Stack, until, usable

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER on, with no time: a close is a reset."""


def head(path: str = "/connection/http_stream", method: str = "POST", *lines: str, size: int = 0) -> bytes:
    """Return the head of a request as a browser makes it."""
    values = ["Host: test", "Connection: keep-alive", *lines, *([f"Content-Length: {size}"] if size else [])]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *values, "", ""]).encode()


class Scene(NamedTuple):
    """A proxy, and the node behind it."""

    proxy: Daemon
    backend: Backend

    def asked(self, client: Wire, *parts: bytes) -> tuple[bytes, socket.socket]:
        """Send a request; return what the node got of it with the first bytes, and the node's side."""
        client.send(b"".join(parts))
        _, got, node_side = self.backend.accept()
        node_side.settimeout(30)
        return got, node_side

    def streaming(self, client: Wire, *parts: bytes) -> socket.socket:
        """Send a request, and have its answer begun."""
        _, node_side = self.asked(client, *(parts or (head("/connection/sse", "GET"),)))
        node_side.sendall(OK)
        assert client.take(len(OK)) == OK
        return node_side

    def wait_gone(self) -> None:
        """Wait until the proxy has no client any more."""
        until(lambda: self.proxy.info()["connections"] == 0, "the client is gone")


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    """A proxy that waits half a second for an answer and a second for a client to leave."""
    stack.redis()
    proxy = stack.proxy(wait=False, answer_timeout=0.5, close_timeout=1, log_sessions="true")
    with Backend((stack.host(1, 9), 7000)) as backend:
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        proxy_address(proxy)
        yield Scene(proxy, backend)
        assert "Traceback" not in proxy.said()


def ended(sock: socket.socket) -> bool:
    """Tell whether the other side has closed, after what it still had to say."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_request_and_its_streamed_answer_pass(scene: Scene) -> None:
    with Wire(scene.proxy.address) as client:
        port = client.socket.getsockname()[1]
        client.send(head("/connection/http_stream?session=a", "POST", "X-Odd:  kept  ", size=7) + b"connect")
        header, got, node_side = scene.backend.accept()
        with node_side:
            assert header.client is not None
            assert header.client[1] == port
            assert got == (
                b"POST /connection/http_stream?session=a HTTP/1.1\r\nHost: test\r\nX-Odd:  kept  \r\n"
                b"Content-Length: 7\r\nConnection: close\r\n\r\nconnect"
            )
            node_side.sendall(OK)
            assert client.take(len(OK)) == OK
            time.sleep(1.2)  # longer than any deadline of this proxy
            for number in range(3):
                node_side.sendall(b"data: %d\n\n" % number)
                assert client.take(9) == b"data: %d\n\n" % number
            assert scene.proxy.info()["connections"] == 1
            assert scene.proxy.info()["nodes"]["gateway-9"]["connections"] == 1
        assert client.socket.recv(1) == b"", "the node's end is the client's"
    scene.wait_gone()
    assert scene.proxy.metric("flux_proxy_requests_total", path="/connection/http_stream") == 1
    assert scene.proxy.metric("flux_proxy_sessions_opened_total") == 0
    assert scene.proxy.metric("flux_proxy_sessions_closed_total", cause="plain HTTP") == 1
    session = f"session={header.session_id}"
    lines = [line for line in scene.proxy.said().splitlines() if session in line]
    assert ["request opened" in lines[0], "request ended" in lines[1], len(lines)] == [True, True, 2]


def test_everything_else_has_its_answer_as_ever(scene: Scene) -> None:
    for asked, status in (
        (head("/connection/websocket", "GET"), 426),
        (head("/emulation/", "POST"), 405),
        (head("/emulation", "DELETE"), 405),
    ):
        with Wire(scene.proxy.address) as client:
            client.send(asked)
            assert client.answer().status == status
    with Wire(scene.proxy.address) as client:
        got, node_side = scene.asked(client, request("/emulation"))
        with node_side:
            assert b"Connection: Upgrade\r\n" in got, "a handshake goes on byte for byte, whatever its path"


def test_a_body_that_comes_in_pieces_passes_before_the_answer(scene: Scene) -> None:
    with Wire(scene.proxy.address) as client:
        got, node_side = scene.asked(client, head("/emulation", size=8), b"0")
        with node_side:
            assert got.endswith(b"\r\n\r\n0")
            for number in range(1, 8):
                time.sleep(0.2)  # all of it takes longer than a node has for its answer
                client.send(b"%d" % number)
                assert node_side.recv(1) == b"%d" % number
            node_side.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        assert client.answer().status == 204
        assert client.socket.recv(1) == b""


def test_an_answer_that_does_not_come_is_an_error(scene: Scene) -> None:
    with Wire(scene.proxy.address) as client:
        _, node_side = scene.asked(client, head(size=2), b"h")
        with node_side:
            client.send(b"i")
            assert client.answer().status == 504
            assert ended(node_side)


def test_a_node_that_does_not_read_a_body_stops_the_client(scene: Scene) -> None:
    with Wire(scene.proxy.address) as client:
        before = scene.proxy.rss()
        client.socket.settimeout(60)
        node_side = scene.streaming(client, head(size=BULK))
        with node_side:
            sender = threading.Thread(target=fill, args=(client.socket, BULK))
            sender.start()
            carried = _until_still(scene.proxy, "flux_proxy_node_bytes_up_total")
            assert carried < 20 * MEBI, "the client was stopped long before everything was sent"
            assert drain(node_side, BULK) == BULK
            sender.join(30)
            assert not sender.is_alive()
            assert scene.proxy.rss() - before < 8 * MEBI


def test_a_body_larger_than_any_buffer_passes_before_the_answer(scene: Scene) -> None:
    size = 32 * MEBI
    with Wire(scene.proxy.address) as client:
        client.socket.settimeout(60)
        before = scene.proxy.rss()
        _, node_side = scene.asked(client, head(size=size))
        with node_side:
            sender = threading.Thread(target=fill, args=(client.socket, size))
            sender.start()
            time.sleep(0.3)  # the node's and the proxy's buffers are full by now
            assert drain(node_side, size) == size
            sender.join(30)
            assert not sender.is_alive()
            assert scene.proxy.rss() - before < 8 * MEBI
            node_side.sendall(OK)
            assert client.take(len(OK)) == OK


def test_a_client_that_does_not_read_stops_the_node(scene: Scene) -> None:
    with Wire(scene.proxy.address, receive_buffer=8192) as client:
        before = scene.proxy.rss()
        node_side = scene.streaming(client)
        with node_side:
            node_side.settimeout(60)
            sender = threading.Thread(target=fill, args=(node_side, BULK), kwargs={"then_close": True})
            sender.start()
            carried = _until_still(scene.proxy, "flux_proxy_node_bytes_down_total")
            assert carried < 20 * MEBI, "the node was stopped long before everything was sent"
            client.socket.settimeout(60)
            assert drain(client.socket, BULK, client.leftover()) == BULK
            assert client.socket.recv(1) == b""
            sender.join(30)
            assert scene.proxy.rss() - before < 8 * MEBI


@pytest.mark.parametrize("abort", [False, True])
def test_when_the_client_leaves_the_node_hears_so(scene: Scene, abort: bool) -> None:
    with Wire(scene.proxy.address) as client:
        node_side = scene.streaming(client)
        with node_side:
            if abort:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.socket.close()
            node_side.settimeout(0.5)
            assert ended(node_side), "at once"
            scene.wait_gone()  # also if the node stays


def test_a_client_that_leaves_before_the_answer_is_let_go(scene: Scene) -> None:
    with Wire(scene.proxy.address) as client:
        _, node_side = scene.asked(client, head(size=2), b"h")
        with node_side:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.socket.close()
            node_side.settimeout(0.4)
            assert ended(node_side)
            scene.wait_gone()


def test_a_client_that_half_closes_gets_its_answer(scene: Scene) -> None:
    with Wire(scene.proxy.address) as client:
        _, node_side = scene.asked(client, head(size=2), b"hi")
        with node_side:
            client.socket.shutdown(socket.SHUT_WR)
            assert node_side.recv(1) == b""
            node_side.sendall(OK + b"data: bye\n\n")
        assert client.take(len(OK)) == OK
        assert client.take(11) == b"data: bye\n\n"
        assert client.socket.recv(1) == b""


def test_an_answer_to_half_a_body_reaches_the_client(scene: Scene) -> None:
    """Too large, say: the node answers and hangs up, and the client is still sending."""
    with Wire(scene.proxy.address) as client:
        _, node_side = scene.asked(client, head(size=MEBI), b"x" * 1000)
        with contextlib.suppress(OSError):
            client.send(b"x" * 300_000)
        until(lambda: scene.proxy.info()["connections"] == 1, "it is held")
        node_side.sendall(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        node_side.close()  # with bytes unread: a reset follows
        answer = client.answer()
        assert (answer.status, answer.body) == (413, "big")


@pytest.mark.parametrize("writing", [False, True])
def test_a_stream_whose_node_is_reset_ends_after_what_was_said(scene: Scene, writing: bool) -> None:
    """Also if the proxy finds out by what the client sends, before it has read what the node said."""
    with Wire(scene.proxy.address) as client:
        node_side = scene.streaming(client, head(size=MEBI))
        scene.proxy.signal(signal.SIGSTOP)
        if writing:
            client.send(b"x" * 10)
        node_side.sendall(b"data: last\n\n")
        node_side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        node_side.close()
        scene.proxy.signal(signal.SIGCONT)
        assert client.take(12) == b"data: last\n\n"
        assert ended(client.socket)
    scene.wait_gone()


def test_a_stream_of_a_silent_node_ends(stack: Stack) -> None:
    stack.redis()
    proxy = stack.proxy(wait=False, link_interval=0.3, link_silence=1)
    host = stack.host(1, 8)
    with (
        ScriptedNode((stack.host(1, 7), 7000), "other") as other,
        ScriptedNode((host, 7000), "answers the link") as node,
        Backend((host, 7001)) as backend,
    ):
        other.register(stack)
        backend.register(stack, "gateway-9")
        proxy_address(proxy)
        until(lambda: len(usable(proxy)) == 2, "both are usable")
        path = f"/connection/sse?session={key_of('gateway-9', proxy)}"
        with Wire(proxy.address) as client:
            node_side = Scene(proxy, backend).streaming(client, head(path, "GET"))
            with node_side:
                time.sleep(1.5)  # longer than a link may be silent
                assert proxy.info()["nodes"]["gateway-9"]["connections"] == 1
                node.hang()
                began = time.monotonic()
                assert client.socket.recv(1) == b""
                assert time.monotonic() - began < 3
                assert proxy.metric("flux_proxy_sessions_closed_total", cause="node silent") == 1
        node.wake()


def key_of(node_id: str, proxy: Daemon) -> str:
    """Return an affinity key that ranks a node first."""
    slots = Slots()
    slots.assign(dict.fromkeys(proxy.info()["nodes"], 1.0))
    return next(f"key-{n}" for n in range(10_000) if slots.ranking(slot_of(b"key-%d" % n))[0] == node_id)


def test_a_proxy_that_restarts_keeps_no_stream(stack: Stack, tmp_path: Path) -> None:
    stack.redis()
    with keeper(tmp_path) as process, Backend((stack.host(1, 9), 7000)) as backend:
        proxy = stack.proxy(wait=False, keeper=process.path)
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        proxy_address(proxy)
        until(lambda: "keeper connected" in proxy.said() or process.count() == 0, "the keeper is there")
        with Wire(proxy.address) as client:
            node_side = Scene(proxy, backend).streaming(client)
            with node_side:
                assert process.count() == 0, "nothing of it is deposited"
                proxy.signal(signal.SIGTERM)
                assert client.socket.recv(1) == b""
                assert ended(node_side)
        assert proxy.wait(10) == 0
        proxy.restart()
        until(lambda: proxy.said().count("state=UP") == 2, "the next process is up", 20)
        assert proxy.metric("flux_proxy_connections_taken_over_total") == 0
        assert process.count() == 0
        with Wire(proxy.address) as client:
            Scene(proxy, backend).streaming(client).close()
        wait_for_holdings(NOTHING, proxy, process)
