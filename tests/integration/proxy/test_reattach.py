"""Nodes that are gone without a word: their sessions go on at others, and nowhere a second time."""

import itertools
import json
import signal
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.gateway.proxy_side import QUIET
from tests.integration.gateway.wire import BINARY, CONT, TEXT, Arrived, Wire, close_all, frame
from tests.integration.proxy.holdings import NOTHING, Holdings, Keeper, keeper, wait_for_holdings
from tests.integration.proxy.scripted_node import ScriptedNode
from tests.processes import PORT, Stack, until, usable

CLIENTS = 24


class Pair:
    """A proxy with its keeper, and two gateways."""

    def __init__(self, stack: Stack, kept: Keeper) -> None:
        self.stack, self.keeper = stack, kept
        self.numbers = itertools.count(1)
        for _ in range(2):
            stack.gateway(wait=False, ping_interval=QUIET)
        for node in stack.nodes:
            node.wait_ready()
        self.proxy = stack.proxy(keeper=kept.path)

    def clients(self, path: str = "/echo") -> dict[str, list[Wire]]:
        """Open clients; return them by the node they landed on."""
        found: dict[str, list[Wire]] = {node.name: [] for node in self.stack.nodes}
        for number in range(CLIENTS):
            client = Wire(self.proxy.address)
            found[client.open(f"{path}?session=user-{number}").headers["x-flux-node"]].append(client)
        assert all(found.values())
        return found

    def moves(self) -> dict[str, int]:
        """Return the proxy's count of moves."""
        found: dict[str, int] = self.proxy.info()["moves"]
        return found

    def balance(self, clients: int) -> None:
        """See that the proxy holds exactly these clients, and every node its share, nothing twice."""
        wait_for_holdings(Holdings(clients, clients, clients, 0, clients), self.proxy, self.keeper)
        until(
            lambda: sum(node.info()["connections"] for node in self.stack.nodes if node.running) == clients,
            "the nodes have each session once",
        )

    def leave(self, clients: dict[str, list[Wire]]) -> None:
        """Have all clients leave; nothing of them must stay."""
        for client in itertools.chain(*clients.values()):
            client.socket.close()
        wait_for_holdings(NOTHING, self.proxy, self.keeper)
        until(
            lambda: all(node.info()["connections"] == 0 for node in self.stack.nodes if node.running),
            "no node has anything",
        )


@pytest.fixture
def pair(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A proxy with two gateways, to be ill-treated."""
    stack.redis()
    with keeper(tmp_path_factory.mktemp("keeper")) as kept:
        yield Pair(stack, kept)


@pytest.fixture(scope="module")
def lasting(shared: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The same, for tests that ill-treat only a node of their own."""
    with keeper(tmp_path_factory.mktemp("keeper")) as kept:
        yield Pair(shared, kept)


@pytest.fixture
def scripted(lasting: Pair) -> Iterator[ScriptedNode]:
    """A node in the test's hands, beside the pair. What an earlier one did does not count against it."""
    number = next(lasting.numbers)
    with ScriptedNode((lasting.stack.host(1, number + 10), PORT), f"scripted-{number}") as node:
        node.register(lasting.stack)
        until(lambda: node.id in usable(lasting.proxy), "the node is usable")
        yield node
        node.unregister(lasting.stack)
    close_all()
    until(lambda: node.id not in lasting.proxy.info()["nodes"], "the node is forgotten")
    wait_for_holdings(NOTHING, lasting.proxy, lasting.keeper)


def facts(client: Wire) -> dict[str, object]:
    """Ask who serves the session."""
    client.send(frame(TEXT, "who?"))
    found: dict[str, object] = json.loads(client.read().payload)
    return found


def test_the_sessions_of_a_killed_node_go_on_as_they_were(pair: Pair) -> None:
    clients = pair.clients("/whoami")
    before = {client: facts(client) for client in clients["gateway-1"][::2]}  # the others have never said anything
    count = len(clients["gateway-1"])
    pair.stack.nodes[0].end()
    for client in clients["gateway-1"]:
        found = facts(client)
        assert (found["node"], found["moves"]) == ("gateway-2", 1)
        if client in before:
            same = ("session", "connected_at")
            assert [found[name] for name in same] == [pytest.approx(before[client][name], abs=1) for name in same]
    assert pair.moves() == {"move": 0, "reattach": count, "failed": 0}
    for client in clients["gateway-2"]:
        assert facts(client)["moves"] == 0
    pair.balance(CLIENTS)
    pair.leave(clients)


def test_of_a_killed_node_only_clients_in_mid_frame_are_closed(pair: Pair) -> None:
    """They are told so, since the stream towards them stands between two frames."""
    clients = pair.clients()
    moving, halves = clients["gateway-1"][2:], clients["gateway-1"][:2]
    halves[0].send(frame(BINARY, b"x" * 1000)[:500])
    halves[1].send(frame(BINARY, b"first of two", fin=False))
    carried = pair.proxy.metric("flux_proxy_node_bytes_up_total", node="gateway-1")
    assert carried > 500
    pair.stack.nodes[0].end()
    for client in halves:
        assert client.closed() == (1012, "node lost, connect again")
        client.socket.close()
    for client in moving + clients["gateway-2"]:
        client.echo()
    pair.balance(CLIENTS - 2)
    pair.leave(clients)


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"", 0), (b"\x81\x02hi", 0), (b"\x81\x05hi", 1006), (b"\x82\x7e\xff", 1006), (b"\x01\x02hi", 1012)],
    ids=["nothing", "a frame", "half a frame", "half a header", "half a message"],
)
@pytest.mark.parametrize("with_reset", [False, True])
def test_what_a_node_has_said_decides(
    lasting: Pair, scripted: ScriptedNode, said: bytes, code: int, with_reset: bool
) -> None:
    """All of it reaches the client; only from a frame's end on somebody else can go on."""
    before, client = lasting.moves()["reattach"], _client_of(lasting, scripted)
    (session,) = scripted.sessions
    scripted.say(session, said)
    if said:
        assert client.take(len(said)) == said
    scripted.end(session, with_reset=with_reset)
    if code:
        assert client.closed()[0] == code
        client.socket.close()
        wait_for_holdings(NOTHING, lasting.proxy, lasting.keeper)
    else:
        until(lambda: lasting.moves()["reattach"] == before + 1, "somebody has it")
        client.echo(b"after")
        wait_for_holdings(Holdings(1, 1, 1, 0, 1), lasting.proxy, lasting.keeper)


def _client_of(pair: Pair, node: ScriptedNode) -> Wire:
    """Return a client whose session has landed at a scripted node."""
    for number in itertools.count():
        client = Wire(pair.proxy.address)
        if client.open(f"/echo?session=key-{number}").headers["x-flux-node"] == node.id:
            until(lambda: pair.proxy.info()["connections"] == 1, "the others have left")
            return client
        client.socket.close()
    raise AssertionError("unreachable")


def test_a_node_that_hangs_is_left_and_wakes_up_without_sessions(pair: Pair) -> None:
    clients = pair.clients()
    hung = pair.stack.nodes[0]
    half = clients["gateway-1"][0]
    half.send(frame(BINARY, b"x" * 1000)[:500])
    stopped = time.monotonic()
    hung.signal(signal.SIGSTOP)
    try:
        assert half.closed() == (1012, "node lost, connect again")
        half.socket.close()
        for client in clients["gateway-1"][1:]:
            client.echo()
        assert time.monotonic() - stopped < 4
        for client in clients["gateway-2"]:
            client.echo()
    finally:
        hung.signal(signal.SIGCONT)
    until(lambda: hung.info()["connections"] == 0, "no zombie is left", 3)
    pair.balance(CLIENTS - 1)
    for client in itertools.chain(clients["gateway-1"][1:], clients["gateway-2"]):
        client.echo()
    until(lambda: len(usable(pair.proxy)) == 2, "trusted again", 15)
    pair.leave(clients)


def test_a_node_that_was_cut_off_hears_what_has_been_attached_elsewhere(
    lasting: Pair, scripted: ScriptedNode
) -> None:
    """It does not see its connections end, and its link is silent; when it is back, the fencing number decides."""
    before, client = lasting.moves()["reattach"], _client_of(lasting, scripted)
    (session,) = scripted.sessions
    scripted.hang()
    until(lambda: lasting.moves()["reattach"] == before + 1, "somebody else has it", 4)
    client.echo(b"after")
    assert scripted.sessions == {session}, "it still believes so"
    scripted.wake()
    until(lambda: scripted.dropped == {session: 1}, "it has heard of it")
    until(lambda: not scripted.sessions, "it has none")
    client.echo(b"and still")
    wait_for_holdings(Holdings(1, 1, 1, 0, 1), lasting.proxy, lasting.keeper)


def test_without_any_node_clients_wait_for_one(pair: Pair) -> None:
    clients = pair.clients()
    for node in pair.stack.nodes:
        node.end()
    half = clients["gateway-1"][0]
    until(lambda: pair.proxy.get("/rebalance")[1]["moving"] == CLIENTS, "the proxy has noticed")
    for client in itertools.chain(*clients.values()):
        client.send(frame(BINARY, b"said while there was nobody"))
    half.send(frame(BINARY, b"x" * 1000)[:500])
    time.sleep(3)
    assert pair.proxy.info()["connections"] == CLIENTS
    pair.stack.nodes[1].restart()
    for client in itertools.chain(*clients.values()):
        assert client.read() == Arrived(BINARY, b"said while there was nobody")
    half.send(frame(BINARY, b"x" * 1000)[500:])
    assert half.read() == Arrived(BINARY, b"x" * 1000)
    assert pair.moves()["reattach"] == CLIENTS
    pair.balance(CLIENTS)
    pair.leave(clients)


def test_without_any_node_for_too_long_clients_are_closed(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway(ping_interval=QUIET)
    proxy = stack.proxy(dead_after=1.5)
    clients = [Wire(proxy.address) for _ in range(40)]  # more than may be under way at once
    for client in clients:
        client.open()
    node.end()
    started = time.monotonic()
    for client in clients:
        assert client.closed()[0] == 1012
        client.socket.close()
    assert time.monotonic() - started < 6
    wait_for_holdings(NOTHING, proxy)


def test_a_client_that_leaves_while_there_is_no_node_is_gone(pair: Pair) -> None:
    leave: list[Callable[[Wire], None]] = [
        lambda client: client.send(frame(8, struct.pack("!H", 1000))),
        lambda client: client.socket.close(),
        lambda client: client.send(frame(CONT, b"never begun")),
    ]
    clients = pair.clients()
    for node in pair.stack.nodes:
        node.end()
    everyone = list(itertools.chain(*clients.values()))
    until(lambda: pair.proxy.get("/rebalance")[1]["moving"] == CLIENTS, "the proxy has noticed")
    for number, client in enumerate(everyone):
        leave[number % 3](client)
    time.sleep(0.5)
    pair.stack.nodes[0].restart()
    for number, client in enumerate(everyone):
        if number % 3 != 1:
            assert client.closed()[0] == (1000, 0, 1002)[number % 3]
            client.socket.close()
    wait_for_holdings(NOTHING, pair.proxy, pair.keeper)
    until(lambda: pair.stack.nodes[0].info()["connections"] == 0, "the node has nothing")
