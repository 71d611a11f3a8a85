"""A proxy that restarts or is killed: its keeper has the connections, and the next process goes on with them."""

import contextlib
import itertools
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flux_gateway.core.frames import encode_frame
from tests.integration.gateway.proxy_side import QUIET
from tests.integration.gateway.wire import BINARY, CONT, TEXT, Arrived, Wire, close_all, frame
from tests.integration.proxy.holdings import NOTHING, Holdings, Keeper, holdings, keeper, wait_for_holdings
from tests.integration.proxy.scripted_node import ScriptedNode
from tests.processes import PORT, Stack, until, usable

CLIENTS = 20

LONG, MANY = 60_000, 400
"""Bytes of a message, and messages: more than the kernel's buffers of two connections hold."""


class Kept:
    """A proxy with a keeper, a gateway, and a scripted node."""

    def __init__(self, stack: Stack, process: Keeper, node: ScriptedNode) -> None:
        self.stack, self.keeper, self.node = stack, process, node
        stack.redis()
        self.gateway = stack.gateway(ping_interval=QUIET)
        self.proxy = stack.proxy(keeper=process.path, drain_timeout=2)
        node.register(stack)
        until(lambda: len(usable(self.proxy)) == 2, "both nodes are usable")
        self._numbers = itertools.count()

    def client(self, where: str, *, path: str = "/echo", receive_buffer: int = 0) -> Wire:
        """Return a client at a node."""
        while True:
            client = Wire(self.proxy.address, receive_buffer=receive_buffer)
            if client.open(f"{path}?session={next(self._numbers)}").headers["x-flux-node"] == where:
                return client
            client.socket.close()

    def some(self, count: int = CLIENTS) -> list[Wire]:
        """Return clients at the gateway; every other one has talked."""
        clients = [self.client(self.gateway.name) for _ in range(count)]
        for client in clients[::2]:
            client.echo(b"before")
        self.wait(count)
        return clients

    def wait(self, clients: int) -> None:
        """Wait until the proxy and its keeper hold exactly these clients."""
        wait_for_holdings(Holdings(clients, clients, clients, 0, clients), self.proxy, self.keeper, 15)

    def stop(self, number: signal.Signals) -> None:
        """End the proxy by a signal."""
        self.proxy.signal(number)
        assert self.proxy.wait(10) == (-9 if number == signal.SIGKILL else 0)

    def start(self) -> None:
        """Start the next process."""
        self.proxy.restart()
        self.proxy.wait_ready()

    def again(self, number: signal.Signals) -> None:
        """End the proxy by a signal, and start the next process."""
        self.stop(number)
        self.start()

    def known_again(self, clients: int) -> None:
        """Wait until all streams are known again: after a crash each session moves, to the node it is on."""
        until(lambda: self.proxy.info()["moves"]["move"] == clients, "all streams are known again")

    def given_up(self, cause: str) -> float:
        """Return how many connections this process has not taken over, by cause."""
        return self.proxy.metric("flux_proxy_connections_given_up_total", cause=cause)


@pytest.fixture
def kept(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """In the end all clients leave, and nothing stays."""
    with (
        keeper(tmp_path_factory.mktemp("keeper")) as process,
        ScriptedNode((stack.host(1, 9), PORT), "scripted") as node,
    ):
        kept = Kept(stack, process, node)
        yield kept
        close_all()
        if kept.proxy.running:
            wait_for_holdings(NOTHING, kept.proxy, process if process.running else None)
            until(lambda: kept.gateway.info()["connections"] == 0, "the gateway has nothing")
            until(lambda: not node.sessions, "the scripted node has nothing")
            assert "Traceback" not in kept.proxy.said()


@contextmanager
def meanwhile(work: threading.Thread) -> Iterator[None]:
    """Run a thread, which must have ended by the end."""
    work.start()
    try:
        yield
    finally:
        work.join(30)
        assert not work.is_alive()


def numbered(number: int, size: int = LONG) -> bytes:
    """Return a message that tells its number."""
    return b"%08d" % number * (size // 8)


# A restart in peace.


def test_a_restart_costs_no_client_its_connection(kept: Kept) -> None:
    clients = kept.some()
    for _ in range(3):
        kept.again(signal.SIGTERM)
        for client in clients:
            client.echo(b"after")
        kept.wait(CLIENTS)
    assert kept.proxy.metric("flux_proxy_connections_taken_over_total") == CLIENTS
    assert kept.proxy.info()["moves"] == {"move": 0, "reattach": 0, "failed": 0}, "nothing had to be found out"


def test_what_is_said_while_there_is_no_proxy_waits(kept: Kept) -> None:
    clients = kept.some()
    kept.stop(signal.SIGTERM)
    for number, client in enumerate(clients):
        client.send(frame(TEXT, f"message {number}"))
    kept.start()
    for number, client in enumerate(clients):
        assert client.read() == Arrived(TEXT, f"message {number}".encode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_frames_in_the_middle_go_on(kept: Kept, number: signal.Signals) -> None:
    """Up and down: half a header, half a payload, half a message of several frames."""
    message = frame(BINARY, b"x" * 1000)
    halves = {kept.client("scripted"): size for size in (1, 3, 500)}
    for client, size in halves.items():
        client.send(message[:size])
    fragmented = kept.client("scripted")
    fragmented.send(frame(TEXT, "one ", fin=False))
    assert fragmented.read().payload == b"one "
    said = encode_frame(TEXT, b"y" * 1000)
    listening: dict[Wire, tuple[str, int]] = {}
    for size in (1, 3, 500):
        before = kept.node.sessions
        client = kept.client("scripted")
        (session,) = kept.node.sessions - before
        kept.node.say(session, said[:size])
        assert client.take(size) == said[:size]
        listening[client] = session, size
    arrived = 1 + 3 + 500  # the scripted node holds a message of several frames to be several
    until(lambda: sum(map(kept.node.unread, kept.node.sessions)) == arrived, "all of it has arrived")
    kept.wait(7)  # whom the keeper does not have yet when its proxy is killed is lost
    kept.again(number)
    for client, size in halves.items():
        client.send(message[size:])
        assert client.read() == Arrived(BINARY, b"x" * 1000)
    fragmented.send(frame(CONT, "two"))
    assert fragmented.read().payload == b"two"
    if number == signal.SIGKILL:
        kept.known_again(7)  # on the way there a session has no connection to speak over
    for client, (session, size) in listening.items():
        kept.node.say(session, said[size:])
        assert client.take(len(said) - size) == said[size:]
        client.echo(b"after")
    kept.wait(7)


def test_what_waits_for_a_client_is_handed_over(kept: Kept) -> None:
    client = kept.client("scripted", receive_buffer=4096)
    (session,) = kept.node.sessions
    said = b"".join(encode_frame(BINARY, numbered(number)) for number in range(MANY))
    with meanwhile(threading.Thread(target=kept.node.say, args=(session, said))):
        until_still(kept, "down")
        kept.again(signal.SIGTERM)
        for number in range(MANY):
            assert client.read() == Arrived(BINARY, numbered(number))
    client.echo(b"after")
    kept.wait(1)


def test_what_waits_for_a_node_is_handed_over(kept: Kept) -> None:
    client = kept.client("scripted")
    kept.node.hold("read")

    def talk() -> None:
        client.send(b"".join(frame(BINARY, numbered(number)) for number in range(MANY)))

    with meanwhile(threading.Thread(target=talk)):
        until_still(kept, "up")
        kept.again(signal.SIGTERM)
        kept.node.go_on()
        for number in range(MANY):
            assert client.read() == Arrived(BINARY, numbered(number))
    client.echo(b"after")
    kept.wait(1)


def until_still(kept: Kept, *ways: str) -> None:
    """Wait until much has flowed each of these ways (up, down), and nothing flows any more."""
    seen = [[0.0]]

    def still() -> bool:
        now = [kept.proxy.metric(f"flux_proxy_node_bytes_{way}_total") for way in ways]
        same, seen[0] = now == seen[0] and min(now) > LONG, now
        time.sleep(1)  # a busy machine may let one of those who speak wait
        return same

    until(still, "nothing flows any more")


@pytest.mark.parametrize("with_reset", [False, True])
def test_a_node_that_dies_while_there_is_no_proxy_loses_no_session(kept: Kept, with_reset: bool) -> None:
    clients = [kept.client("scripted") for _ in range(5)]
    kept.wait(5)
    kept.stop(signal.SIGTERM)
    kept.node.die(with_reset=with_reset)
    kept.start()
    for client in clients:
        client.echo(b"after")
    assert kept.proxy.info()["moves"]["reattach"] == 5
    kept.wait(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_clients_that_leave_while_there_is_no_proxy_are_gone(kept: Kept, number: signal.Signals) -> None:
    clients = kept.some(6)
    kept.stop(number)
    for client in clients[:2]:
        client.socket.close()
    for client in clients[2:4]:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
    kept.start()
    for client in clients[4:]:
        client.echo(b"after")
    kept.wait(2)


def test_sigint_sends_the_clients_away(kept: Kept) -> None:
    clients = kept.some()
    kept.proxy.signal(signal.SIGINT)
    for client in clients:
        assert client.closed() == (1012, "proxy is restarting, connect again")
        client.socket.close()
    assert kept.proxy.wait(10) == 0
    assert kept.keeper.count() == 0
    kept.start()
    assert holdings(kept.proxy, kept.keeper) == NOTHING


def test_without_its_keeper_a_proxy_sends_its_clients_away(kept: Kept) -> None:
    clients = kept.some()
    kept.keeper.end()
    until(lambda: "keeper lost" in kept.proxy.said(), "the proxy has noticed")
    kept.proxy.signal(signal.SIGTERM)
    for client in clients:
        assert client.closed() == (1012, "proxy is restarting, connect again")
        client.socket.close()
    assert kept.proxy.wait(10) == 0
    kept.keeper.restart()
    kept.keeper.wait_ready()
    kept.start()


# A proxy that is killed.


def test_a_killed_proxy_costs_no_idle_client_its_connection(kept: Kept) -> None:
    clients = kept.some()
    for _ in range(3):
        kept.again(signal.SIGKILL)
        # It does not know where frames begin; a move to the same node tells.
        kept.known_again(CLIENTS)
        for client in clients:
            client.echo(b"after")
        kept.wait(CLIENTS)
    assert kept.proxy.metric("flux_proxy_connections_taken_over_total") == CLIENTS
    assert kept.proxy.metric("flux_proxy_connections_given_up_total") == 0
    facts = kept.client(kept.gateway.name, path="/whoami")
    kept.wait(CLIENTS + 1)
    kept.again(signal.SIGKILL)
    kept.known_again(CLIENTS + 1)
    facts.send(frame(TEXT, "who?"))
    assert json.loads(facts.read().payload)["node"] == kept.gateway.name


def test_a_stream_with_a_gap_is_given_up_alone(kept: Kept) -> None:
    """What a killed proxy had read and not sent is gone; to go on would be to lose it in silence."""
    clients = kept.some()
    slow = kept.client("scripted", receive_buffer=4096)
    (session,) = kept.node.sessions
    deaf = kept.client("scripted")
    kept.node.hold("read")
    deaf.socket.settimeout(60)

    said = b"".join(encode_frame(BINARY, numbered(number)) for number in range(MANY))
    asked = b"".join(frame(BINARY, numbered(number)) for number in range(MANY))

    def say() -> None:
        with contextlib.suppress(OSError):
            kept.node.say(session, said)

    def talk() -> None:
        with contextlib.suppress(OSError):
            deaf.send(asked)

    with meanwhile(threading.Thread(target=say)), meanwhile(threading.Thread(target=talk)):
        until_still(kept, "up", "down")
        kept.again(signal.SIGKILL)
        for client in clients:
            client.echo(b"after")
        number = 0
        for arrived in slow.frames():
            assert arrived.payload == numbered(number)
            number += 1
        assert 0 < number < MANY
        kept.node.go_on()
        list(deaf.frames())
    assert (kept.given_up("bytes of the node lost"), kept.given_up("bytes of the client lost")) == (1, 1)
    assert kept.proxy.metric("flux_proxy_connections_taken_over_total") == CLIENTS
    kept.wait(CLIENTS)


def test_a_keeper_that_is_killed_gets_everything_again(kept: Kept) -> None:
    clients = kept.some()
    kept.keeper.end()
    for client in clients:
        client.echo(b"without")
    late = kept.client(kept.gateway.name)
    clients.pop().socket.close()
    kept.keeper.restart()
    kept.wait(CLIENTS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        kept.again(number)
        for client in [*clients, late]:
            client.echo(b"after")
        kept.wait(CLIENTS)
