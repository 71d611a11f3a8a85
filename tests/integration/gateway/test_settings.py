"""What can be set on a node: pings, compression, origins, limits, whose PROXY headers are believed."""

import contextlib
import time
import zlib

import pytest

from flux_gateway.core import proxy_protocol
from tests.integration.gateway.wire import BINARY, CLOSE, CONT, TEXT, Wire, connect, frame, request
from tests.processes import Daemon, Stack, until

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}


@pytest.fixture(scope="module")
def tight(shared: Stack) -> Daemon:
    """A gateway with every limit close."""
    return shared.gateway(
        outbox_limit=65536, max_connections=5, max_message=400_000,
        allowed_origins="https://good.example,https://fine.example", deflate="true", close_timeout=1,
        trusted_proxies="",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pinging(shared: Stack) -> Daemon:
    """A gateway that pings often."""
    return shared.gateway(ping_interval=0.5, ping_timeout=0.25)


def test_a_client_that_never_pongs_is_closed_and_one_that_does_is_not(pinging: Daemon) -> None:
    with connect(pinging.address) as silent, connect(pinging.address) as lively:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert lively.echo() < 1
            time.sleep(0.05)
        assert silent.closed() == (1011, "keepalive ping timeout")
        lively.echo()
    assert pinging.metric("flux_node_ping_timeouts_total") == 1


def test_no_compression_unless_it_is_set(node: Daemon) -> None:
    with Wire(node.address) as client:
        assert "sec-websocket-extensions" not in client.open(headers=OFFER).headers


def test_compression_without_context_takeover(tight: Daemon) -> None:
    with Wire(tight.address) as client:
        agreed = client.open(headers=OFFER).headers["sec-websocket-extensions"]
        assert {"server_no_context_takeover", "client_no_context_takeover"} <= {p.strip() for p in agreed.split(";")}
        replies = []
        for _ in range(2):
            squeeze = zlib.compressobj(wbits=-15)
            data = squeeze.compress(b"again and again " * 50) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            client.send(frame(TEXT, data[:9], fin=False, rsv=4) + frame(CONT, data[9:-4]))
            replies.append(client.read())
    assert [reply.rsv1 for reply in replies] == [True, True]
    # Each message is understood without the one before it.
    assert [zlib.decompressobj(wbits=-15).decompress(reply.payload) for reply in replies] == [
        b"again and again " * 50
    ] * 2


def test_a_compressed_bomb_is_too_big(tight: Daemon) -> None:
    squeeze = zlib.compressobj(wbits=-15)
    data = squeeze.compress(bytes(50_000_000)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    with Wire(tight.address) as client:
        client.open(headers=OFFER)
        client.send(frame(BINARY, data[:-4], rsv=4))
        assert client.closed()[0] == 1009


@pytest.mark.parametrize(("origin", "status"), [
    ("https://good.example", 101), ("https://fine.example", 101), ("", 101),
    ("https://evil.example", 403), ("https://good.example.evil.example", 403), ("null", 403),
])  # fmt: skip
def test_only_allowed_origins(tight: Daemon, origin: str, status: int) -> None:
    with Wire(tight.address) as client:
        client.send(request(headers={"Origin": origin}))
        assert client.answer().status == status


def test_a_node_holds_no_more_connections_than_allowed(tight: Daemon) -> None:
    until(lambda: tight.info()["connections"] == 0, "earlier clients are gone")
    clients = [connect(tight.address) for _ in range(5)]
    try:
        with Wire(tight.address) as sixth:
            sixth.send(request())
            answer = sixth.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert "full" in answer.body
        assert max(client.echo() for client in clients) < 1
    finally:
        for client in clients:
            client.socket.close()
    until(lambda: tight.info()["connections"] == 0, "the clients are gone")
    with connect(tight.address) as client:
        client.echo()


def test_a_client_that_does_not_read_is_closed_alone(tight: Daemon) -> None:
    before = tight.metric("flux_node_outbox_overflows_total")
    with Wire(tight.address, receive_buffer=4096) as slow, connect(tight.address) as other:
        slow.open()
        slow.socket.settimeout(0.05)
        stuffing, sent, worst = frame(BINARY, b"x" * 300_000), 0, 0.0
        until_overflow = time.monotonic() + 10
        while tight.metric("flux_node_outbox_overflows_total") == before and time.monotonic() < until_overflow:
            with contextlib.suppress(TimeoutError):
                sent += slow.socket.send(stuffing[sent % len(stuffing) :])
            worst = max(worst, other.echo())
        assert tight.metric("flux_node_outbox_overflows_total") == before + 1
        slow.socket.settimeout(5)
        last = list(slow.frames())[-1]
        assert last.opcode == CLOSE
        assert last.payload[:2] == (1008).to_bytes(2, "big")
        assert last.payload[2:].startswith(b"slow client")
        assert worst < 1
        other.echo()


def test_a_proxy_header_from_an_untrusted_peer_is_refused_and_counted(tight: Daemon) -> None:
    header = proxy_protocol.encode(("203.0.113.7", 5555), ("192.0.2.1", 7000), {})
    before = tight.metric("flux_node_handshakes_refused_total", reason="proxy header")
    with Wire(tight.address) as client:
        client.send(header + request())
        assert not _anything(client)
    assert tight.metric("flux_node_handshakes_refused_total", reason="proxy header") == before + 1
    assert "not a trusted proxy" in tight.said()


def test_a_malformed_header_from_a_trusted_proxy_is_refused(shared: Stack, node: Daemon) -> None:
    header = bytearray(proxy_protocol.encode(("203.0.113.7", 5555), ("192.0.2.1", 7000), {}))
    header[12] = 0x55
    before = node.metric("flux_node_handshakes_refused_total", reason="proxy header")
    with Wire(node.address, source=shared.host(2, 77)) as client:
        client.send(bytes(header) + request())
        assert not _anything(client)
    assert node.metric("flux_node_handshakes_refused_total", reason="proxy header") == before + 1


def test_a_trusted_proxy_gives_the_session_its_id(shared: Stack, node: Daemon) -> None:
    tlvs = {proxy_protocol.UNIQUE_ID: b"id-from-the-proxy"}
    header = proxy_protocol.encode(("203.0.113.7", 5555), ("192.0.2.1", 7000), tlvs)
    with Wire(node.address, source=shared.host(2, 77)) as client:
        client.send(header[:9])  # the header may come in pieces
        time.sleep(0.05)
        client.send(header[9:])
        assert client.open().headers["x-flux-session"] == "id-from-the-proxy"


def _anything(client: Wire) -> bytes:
    try:
        return client.socket.recv(100)
    except ConnectionResetError:
        return b""
    except TimeoutError as error:
        raise AssertionError("the connection stayed open") from error
