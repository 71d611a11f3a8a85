"""Who does not read is not sent more; nothing is lost, and the proxy does not keep it."""

import socket
import threading
import time

from tests.integration.gateway.wire import BINARY, TEXT, Arrived, Wire, connect, frame, request
from tests.integration.proxy.backend import Backend
from tests.processes import Daemon, Stack, until

MEBI = 2**20
BULK = 200 * MEBI
BLOCK = bytes(range(256)) * 256


def fill(sink: socket.socket, size: int, head: bytes = b"", *, then_close: bool = False) -> None:
    sink.sendall(head)
    for _ in range(size // len(BLOCK)):
        sink.sendall(BLOCK)
    if then_close:
        sink.close()


def drain(source: socket.socket, size: int, already: bytes = b"") -> int:
    """Read `size` bytes and check every one of them against what `fill` sends."""
    got, position = memoryview(bytearray(len(BLOCK))), len(already)
    assert BLOCK.startswith(already)
    while position < size:
        count = source.recv_into(got)
        assert count, f"ended after {position} of {size} bytes"
        start = position % len(BLOCK)
        expected = (BLOCK + BLOCK)[start : start + count]
        assert bytes(got[:count]) == expected
        position += count
    return position


def opened(stack: Stack, backend: Backend, proxy: Daemon, client: Wire, head: bytes = b"") -> socket.socket:
    """Do a handshake by hand on both sides; return the node's side."""
    client.send(request())
    _, _, node_side = backend.accept()
    node_side.settimeout(60)
    node_side.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + head)
    assert client.answer().status == 101
    return node_side


def bulk_header(size: int, masked: bool) -> bytes:
    return bytes([0x82, 127 | (0x80 if masked else 0)]) + size.to_bytes(8, "big") + (bytes(4) if masked else b"")


def test_a_client_that_does_not_read_stops_the_node_and_gets_everything_in_the_end(stack: Stack) -> None:
    stack.redis()
    proxy = stack.proxy(wait=False)
    with Backend((stack.host(1, 9), 7000)) as backend, Wire(proxy_address(proxy), receive_buffer=8192) as client:
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        with opened(stack, backend, proxy, client) as node_side:
            before = proxy.rss()
            sender = threading.Thread(target=fill, args=(node_side, BULK, bulk_header(BULK, False)))
            sender.start()
            carried = _until_still(proxy, "flux_proxy_node_bytes_down_total")
            assert carried < 20 * MEBI, "the node was stopped long before everything was sent"
            assert proxy.rss() - before < 8 * MEBI
            client.socket.settimeout(60)
            header = client.take(10)
            assert header == bulk_header(BULK, False)
            already = client.leftover()
            assert drain(client.socket, BULK, already) == BULK
            sender.join(30)
            assert not sender.is_alive()
            assert proxy.rss() - before < 8 * MEBI


def test_a_node_that_does_not_read_stops_the_client(stack: Stack) -> None:
    stack.redis()
    proxy = stack.proxy(wait=False)
    with Backend((stack.host(1, 9), 7000), receive_buffer=8192) as backend, Wire(proxy_address(proxy)) as client:
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        with opened(stack, backend, proxy, client) as node_side:
            before = proxy.rss()
            client.socket.settimeout(60)
            sender = threading.Thread(target=fill, args=(client.socket, BULK, bulk_header(BULK, True)))
            sender.start()
            carried = _until_still(proxy, "flux_proxy_node_bytes_up_total")
            assert carried < 20 * MEBI, "the client was stopped long before everything was sent"
            assert proxy.rss() - before < 8 * MEBI
            node_side.sendall(b"\x81\x02hi")
            assert client.read() == Arrived(TEXT, b"hi"), "the other direction goes on"
            assert node_side.recv(14, socket.MSG_WAITALL) == bulk_header(BULK, True)
            assert drain(node_side, BULK) == BULK
            sender.join(30)
            assert not sender.is_alive()
            assert proxy.rss() - before < 8 * MEBI


def test_half_closing_clients_get_all_that_the_node_still_says(stack: Stack) -> None:
    """The client has said its last word and reads slowly; the node says much, and ends: nothing of it is lost."""
    stack.redis()
    proxy = stack.proxy(wait=False)
    size = 16 * MEBI
    with Backend((stack.host(1, 9), 7000)) as backend, Wire(proxy_address(proxy), receive_buffer=8192) as client:
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        with opened(stack, backend, proxy, client, bulk_header(size, False)) as node_side:
            client.socket.shutdown(socket.SHUT_WR)
            assert node_side.recv(1) == b"", "the node hears of it"
            sender = threading.Thread(target=fill, args=(node_side, size), kwargs={"then_close": True})
            sender.start()
            client.socket.settimeout(60)
            assert client.take(10) == bulk_header(size, False)
            read = 0
            already = client.leftover()
            # Slow enough at the end for the node to be done, and gone, with much of it still on the way.
            read = drain(client.socket, size - 8 * MEBI, already)
            _until_still(proxy, "flux_proxy_node_bytes_down_total")
            while read < size:
                data = client.socket.recv(65536)
                assert data, f"ended after {read} of {size} bytes"
                read += len(data)
                time.sleep(0.0005)
            assert read == size
            assert client.socket.recv(1) == b""
            sender.join(10)


def test_a_client_that_leaves_in_mid_frame_takes_only_itself_away(proxy: Daemon) -> None:
    with connect(proxy.address) as other:
        for abort in (False, True):
            with connect(proxy.address) as client:
                client.send(frame(BINARY, b"x" * 1000)[:500])
                if abort:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        until(lambda: proxy.info()["connections"] == 1, "both are gone")
        other.echo()


def proxy_address(proxy: Daemon) -> tuple[str, int]:
    """Wait until the proxy listens."""
    until(lambda: "state=UP" in proxy.said(), "the proxy is up", 20)
    return proxy.address


def _until_still(proxy: Daemon, metric: str) -> float:
    """Wait until no byte has been relayed for a while; return how many were."""
    last, since = -1.0, time.monotonic()
    while time.monotonic() - since < 0.5:
        now = proxy.metric(metric)
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)
    return last
