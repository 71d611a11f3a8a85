"""Where a proxy sends clients: affinity, bounded load, the next rank, and what it tells the node about the client."""

import json
from collections.abc import Callable, Mapping

import pytest

from tests.integration.gateway.wire import TEXT, Wire, connect, frame
from tests.integration.proxy.backend import Backend
from tests.processes import Daemon, Stack, until, usable


def landed(
    address: tuple[str, int], path: str = "/whoami", headers: Mapping[str, str] | None = None, source: str = ""
) -> str:
    """Connect, ask who serves, check that the handshake said the same, and return the node's id."""
    with Wire(address, source=source) as client:
        answer = client.open(path, headers)
        client.send(frame(TEXT, "who?"))
        facts = json.loads(client.read().payload)
    assert facts["session"] == answer.headers["x-flux-session"]
    assert facts["node"] == answer.headers["x-flux-node"]
    return str(facts["node"])


KEYS: dict[str, Callable[[str], tuple[str, dict[str, str]]]] = {
    "query": lambda key: (f"/whoami?a=1&session={key}", {}),
    "header": lambda key: ("/whoami", {"X-Flux-Session": key}),
    "cookie": lambda key: ("/whoami", {"Cookie": f"theme=dark; flux_session={key}"}),
}
"""Where a key can be: makes path and headers of a handshake with that key."""


@pytest.mark.parametrize("kind", KEYS)
def test_the_same_key_lands_on_the_same_node(proxy: Daemon, kind: str) -> None:
    for key in ("alice", "bob"):
        assert len({landed(proxy.address, *KEYS[kind](key)) for _ in range(100)}) == 1


def test_all_kinds_of_the_same_key_agree_and_keys_spread(proxy: Daemon) -> None:
    nodes = set()
    for number in range(20):
        found = {landed(proxy.address, *make(f"user-{number}")) for make in KEYS.values()}
        assert len(found) == 1
        nodes |= found
    assert nodes == {"gateway-1", "gateway-2"}


def test_without_a_key_the_client_s_address_decides(shared: Stack, proxy: Daemon) -> None:
    per_address = [
        {landed(proxy.address, source=shared.host(9, number)) for _ in range(100 if number == 1 else 3)}
        for number in range(1, 11)
    ]
    assert all(len(nodes) == 1 for nodes in per_address)
    assert set.union(*per_address) == {"gateway-1", "gateway-2"}


def test_the_query_wins_over_header_and_cookie(proxy: Daemon) -> None:
    other = {"X-Flux-Session": "header", "Cookie": "flux_session=cookie"}
    for number in range(10):
        path = f"/whoami?session=q{number}"
        assert landed(proxy.address, path, other) == landed(proxy.address, path)


def test_bounded_load_sends_the_rest_to_the_next_rank(stack: Stack) -> None:
    stack.redis()
    stack.gateway()
    stack.gateway()
    proxy = stack.proxy(load_floor=4)
    clients = [connect(proxy.address, "/echo?session=everybody") for _ in range(20)]
    loads = sorted(node["connections"] for node in proxy.info()["nodes"].values())
    for client in clients:
        client.echo()
        client.socket.close()
    assert sum(loads) == 20
    assert loads[1] <= 14, "1.25 times the mean of 20 over two nodes, and one"
    assert loads[0] >= 6


def test_a_dial_that_is_refused_or_not_answered_goes_to_the_next_rank(stack: Stack) -> None:
    stack.redis()
    stack.gateway()
    proxy = stack.proxy(answer_timeout=0.5)
    # Both have the link of gateway-1, so they look well; one refuses clients, the other takes them and says nothing.
    with Backend((stack.host(1, 1), 7001)) as silent, Backend((stack.host(1, 1), 7002)) as refusing:
        silent.register(stack, "gateway-8")
        refusing.register(stack, "gateway-9")
        refusing.stop_listening()
        until(lambda: len(usable(proxy)) == 3, "both look well")
        nodes = {landed(proxy.address, f"/whoami?session={number}") for number in range(20)}
    assert nodes == {"gateway-1"}
    assert proxy.metric("flux_proxy_node_dial_failures_total", node="gateway-8") > 0
    assert proxy.metric("flux_proxy_node_dial_failures_total", node="gateway-9") > 0
    assert proxy.metric("flux_proxy_dial_retries_total") >= 2


def test_the_proxy_header_carries_client_and_session(stack: Stack) -> None:
    stack.redis()
    proxy = stack.proxy(wait=False)
    with Backend((stack.host(1, 9), 7000)) as backend:
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        with Wire(proxy.address, source=stack.host(9, 5)) as client:
            port = client.socket.getsockname()[1]
            head = b"GET /echo?x=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
            client.send(head + b"Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\nX-Odd:  kept  \r\n\r\nearly")
            header, rest, node_side = backend.accept()
            with node_side:
                assert header.client == (stack.host(9, 5), port)
                assert len(header.session_id) == 32
                assert rest.endswith(b"X-Odd:  kept  \r\n\r\nearly"), "the head goes on byte for byte"
                assert rest.startswith(head)
                node_side.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Made-By: test\r\n\r\n\x81\x02hi")
                assert client.answer().headers == {"x-made-by": "test"}
                assert client.read().payload == b"hi"
