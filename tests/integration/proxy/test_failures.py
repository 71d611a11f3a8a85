"""Nodes that die, hang, drain and come back; Redis gone; a proxy that stops."""

import itertools
import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.integration.gateway.wire import CLOSE, TEXT, Wire, connect, frame, request
from tests.integration.proxy.backend import Backend
from tests.processes import Daemon, Stack, connects, until, usable


@pytest.fixture
def pair(stack: Stack) -> Daemon:
    """A proxy with two gateways, to be ill-treated."""
    stack.redis()
    for _ in range(2):
        stack.gateway(wait=False, drain_timeout=3)
    for node in stack.nodes:
        node.wait_ready()
    return stack.proxy(drain_timeout=3)


def clients_of(proxy: Daemon, count: int) -> dict[str, list[Wire]]:
    """Open clients with different keys; return them by the node they landed on."""
    found: dict[str, list[Wire]] = {"gateway-1": [], "gateway-2": []}
    for number in range(count):
        client = Wire(proxy.address)
        found[client.open(f"/echo?session=user-{number}").headers["x-flux-node"]].append(client)
    return found


def newcomers(proxy: Daemon, done: Callable[[], bool]) -> list[tuple[float, float, str]]:
    """Connect one client after another: (when it began, seconds until its first echo, node); each must succeed."""
    found: list[tuple[float, float, str]] = []
    for number in itertools.count():
        if done():
            return found
        began = time.monotonic()
        with Wire(proxy.address) as client:
            node = client.open(f"/echo?session=new-{number}").headers["x-flux-node"]
            client.echo()
        found.append((began, time.monotonic() - began, node))
    raise AssertionError("unreachable")


def lasting(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_the_sessions_of_a_killed_node_go_on_at_another_and_new_ones_are_served(stack: Stack, pair: Daemon) -> None:
    clients = clients_of(pair, 20)
    assert all(clients.values())
    killed = clients["gateway-1"]
    stack.nodes[0].end()
    assert {node for _, _, node in newcomers(pair, lasting(1))} == {"gateway-2"}
    for client in itertools.chain(*clients.values()):
        client.echo()
    assert pair.info()["moves"] == {"move": 0, "reattach": len(killed), "failed": 0}
    stack.nodes[0].restart()
    stack.nodes[0].wait_ready()
    until(lambda: len(usable(pair)) == 2, "the node is back in routing", 15)
    for client in itertools.chain(*clients.values()):
        client.socket.close()


def test_a_stream_cut_within_a_frame_ends_without_a_close_frame(stack: Stack) -> None:
    stack.redis()
    proxy = stack.proxy(wait=False)
    with Backend((stack.host(1, 9), 7000)) as backend:
        backend.register(stack, "gateway-9")
        backend.wait_known(proxy)
        for said, expected in ((b"\x81\x02hi", 1012), (b"\x81\x05hi", 1006), (b"\x81", 1006)):
            with Wire(proxy.address) as client:
                client.send(request())
                _, _, node_side = backend.accept()
                node_side.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + said)
                node_side.close()
                assert client.answer().status == 101
                if expected == 1006:
                    client.socket.settimeout(5)
                    rest = b""
                    while data := client.socket.recv(100):
                        rest += data
                    assert client.leftover() + rest == said
                else:
                    assert client.closed()[0] == expected


def test_a_node_that_hangs_is_left_within_three_seconds(stack: Stack, pair: Daemon) -> None:
    clients = clients_of(pair, 20)
    stopped = time.monotonic()
    stack.nodes[0].signal(signal.SIGSTOP)
    try:
        until(lambda: usable(pair) == ["gateway-2"], "suspect", 4)
        assert time.monotonic() - stopped < 3.5
        assert {node for _, _, node in newcomers(pair, lasting(0.5))} == {"gateway-2"}
        for client in clients["gateway-2"]:
            assert client.echo() < 1
    finally:
        stack.nodes[0].signal(signal.SIGCONT)
    for client in clients["gateway-1"]:
        client.echo()  # it only hung: its clients are still there
        client.socket.close()
    until(lambda: len(usable(pair)) == 2, "trusted again", 15)


def test_clients_that_come_while_a_node_hangs_are_served(stack: Stack, pair: Daemon) -> None:
    stack.nodes[0].signal(signal.SIGSTOP)
    try:
        served = newcomers(pair, lasting(4))
    finally:
        stack.nodes[0].signal(signal.SIGCONT)
    assert {node for _, _, node in served} == {"gateway-2"}
    assert max(seconds for _, seconds, _ in served) < 4
    assert len(served) > 20


def test_while_a_node_drains_clients_only_see_the_other(stack: Stack, pair: Daemon) -> None:
    clients = clients_of(pair, 20)
    stack.nodes[0].post("/drain?seconds=1")
    assert {node for _, _, node in newcomers(pair, lasting(0.7))} == {"gateway-2"}
    for client in itertools.chain(*clients.values()):
        client.echo()
    assert pair.info()["moves"] == {"move": len(clients["gateway-1"]), "reattach": 0, "failed": 0}
    stack.nodes[0].post("/undrain")
    until(lambda: len(usable(pair)) == 2, "undrained")
    assert {node for _, _, node in newcomers(pair, lasting(0.7))} == {"gateway-1", "gateway-2"}


def test_a_stopping_node_is_left_before_it_refuses(stack: Stack, pair: Daemon) -> None:
    """SIGTERM, and newcomers all the while: none is refused, none lands on the node that stops."""
    node = stack.nodes[0]
    node.signal(signal.SIGTERM)
    newcomers(pair, lambda: not node.running)
    assert node.wait(1) == 0
    assert {node for _, _, node in newcomers(pair, lasting(0.5))} == {"gateway-2"}


def test_with_redis_gone_new_clients_are_routed_as_before(stack: Stack) -> None:
    server = stack.redis()
    stack.gateway()
    stack.gateway()
    proxy = stack.proxy()
    before = {number: _node_of(proxy, number) for number in range(20)}
    server.end()
    until(lambda: not proxy.info()["registry_reachable"], "the proxy noticed")
    assert {number: _node_of(proxy, number) for number in range(20)} == before
    assert proxy.ready()
    # The link alone tells of a node that dies meanwhile.
    stack.nodes[0].end()
    assert {node for _, _, node in newcomers(proxy, lasting(0.5))} == {"gateway-2"}
    server.restart()
    until(lambda: proxy.info()["registry_reachable"], "reached again")
    assert {node for _, _, node in newcomers(proxy, lasting(0.5))} == {"gateway-2"}


def _node_of(proxy: Daemon, number: int) -> str:
    with Wire(proxy.address) as client:
        return client.open(f"/echo?session={number}").headers["x-flux-node"]


def test_without_any_node_clients_hear_503_and_when(stack: Stack) -> None:
    stack.redis()
    proxy = stack.proxy(wait=False)
    until(lambda: "registry reached" in proxy.said(), "Redis reached")
    assert proxy.get("/readyz")[1]["reason"] == "no node takes sessions"
    with Wire(proxy.address) as client:
        client.send(request())
        answer = client.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    stack.gateway()
    until(lambda: usable(proxy), "the node is known")
    connect(proxy.address).socket.close()


def test_a_proxy_without_redis_keeps_trying(stack: Stack) -> None:
    proxy = stack.proxy(wait=False)
    until(lambda: "registry away" in proxy.said(), "it says so")
    assert proxy.get("/readyz")[1]["reason"] == "Redis has not been reached yet"
    stack.redis()
    stack.gateway()
    proxy.wait_ready()
    connect(proxy.address).socket.close()


def test_a_stopping_proxy_closes_its_clients_over_the_window(pair: Daemon) -> None:
    clients = list(itertools.chain(*clients_of(pair, 20).values()))
    moments: list[float] = []

    def wait(client: Wire) -> None:
        assert client.closed()[0] == 1012
        moments.append(time.monotonic() - started)

    threads = [threading.Thread(target=wait, args=(client,)) for client in clients]
    started = time.monotonic()
    pair.signal(signal.SIGTERM)
    for thread in threads:
        thread.start()
    until(lambda: not connects(pair.address), "it no longer listens", 2)
    for thread in threads:
        thread.join(10)
    assert pair.wait(6) == 0
    assert len(moments) == 20
    assert max(moments) - min(moments) > 1.5
    assert sum(1 for moment in moments if moment < 1.5) in range(5, 16)


def test_a_stopping_proxy_goes_on_serving_new_clients_for_its_grace(stack: Stack) -> None:
    stack.redis()
    stack.gateway()
    proxy = stack.proxy(drain_timeout=0, drain_grace=1)
    proxy.signal(signal.SIGTERM)
    until(lambda: not proxy.ready(), "it says that it stops")
    with connect(proxy.address) as late:
        late.echo()
        assert late.closed()[0] == 1012
    assert proxy.wait(3) == 0


def test_a_close_of_the_node_reaches_the_client_unchanged(pair: Daemon) -> None:
    with connect(pair.address) as client:
        client.send(frame(TEXT, b"\xff"))
        last = list(client.frames())[-1]
    assert (last.opcode, last.payload) == (CLOSE, (1007).to_bytes(2, "big") + b"text message is not UTF-8")
