"""Streams that move all the time: every message comes back once, in order and whole, through a real cluster.

What `prototypes/session_move.py` proved in one process, here with three gateways and a proxy: clients talk as fast as
they can, while the gateways drain and return in turn.
"""

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.gateway.proxy_side import QUIET
from tests.integration.gateway.wire import BINARY, Arrived, Wire, frame
from tests.integration.proxy.holdings import NOTHING, wait_for_holdings
from tests.processes import Daemon, Stack, until, usable

SIZES, WEIGHTS = (0, 10, 200, 5_000, 70_000, 300_000), (30, 25, 20, 12, 10, 3)
"""Bytes of a message beside its number, and how often each comes up."""

LONG, MANY = 60_000, 700
"""Bytes of a message, and messages: more than all the kernel's buffers on the way there and back hold."""

BLOCK = bytes(range(256)) * 1200


@pytest.fixture(scope="module")
def cluster(shared: Stack) -> Daemon:
    """A proxy with three gateways that compress if asked to."""
    for _ in range(3):
        shared.gateway(wait=False, deflate="true", ping_interval=QUIET)
    for node in shared.nodes:
        node.wait_ready()
    return shared.proxy(move_concurrency=16, snapshot_interval=0.2)


def moves(proxy: Daemon) -> int:
    """Return how many sessions have been moved; none of them badly."""
    found: dict[str, int] = proxy.info()["moves"]
    assert found["failed"] == 0, found
    assert found["reattach"] == 0, found
    return found["move"]


def payload(number: int, size: int) -> bytes:
    """Return a message that tells its number, and bytes that tell their place."""
    start = number % 256
    return b"%08d" % number + BLOCK[start : start + size]


@asynccontextmanager
async def churning(stack: Stack, proxy: Daemon) -> AsyncIterator[None]:
    """Meanwhile drain the gateways in turn, each until it is empty."""
    over = threading.Event()

    def churn() -> None:
        for node in itertools.cycle(stack.nodes):
            if over.is_set():
                return
            status, _ = node.post("/drain?seconds=60")
            assert status == 202
            until(lambda: node.info()["connections"] == 0 or over.is_set(), f"{node.name} is empty", 30)  # noqa: B023
            node.post("/undrain")
            until(partial(_all_usable, proxy), "all three take sessions")

    churning = asyncio.create_task(asyncio.to_thread(churn))
    try:
        yield
        assert not churning.done(), churning.exception()
    finally:
        over.set()
        await churning


def _all_usable(proxy: Daemon) -> bool:
    return len(usable(proxy)) == 3


async def _say(client: ClientConnection, count: int, rng: random.Random) -> None:
    for number in range(count):
        message = payload(number, rng.choices(SIZES, WEIGHTS)[0])
        if rng.random() < 0.2:
            at = sorted(rng.randrange(len(message) + 1) for _ in range(3))
            pieces = [message[a:b] for a, b in itertools.pairwise([0, *at, len(message)])]
            await client.send(_slowly(pieces) if rng.random() < 0.5 else pieces)
        else:
            await client.send(message)
        if rng.random() < 0.1:
            await (await client.ping(b"%d" % number))
        if number % 7 == 0:
            await asyncio.sleep(rng.random() * 0.02)


async def _slowly(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0.005)


async def _converse(url: str, seed: int, count: int, compression: str | None) -> None:
    """Send numbered messages, and see that each comes back: sizes and order by a generator of the same seed."""
    rng = random.Random(seed)
    async with connect(f"{url}/echo?session={seed}", compression=compression, max_size=None, ping_interval=None,
                       proxy=None) as client:  # fmt: skip
        saying = asyncio.create_task(_say(client, count, rng))
        for number in range(count):
            message = await client.recv()
            assert isinstance(message, bytes)
            assert message == payload(number, len(message) - 8), f"client {seed}: {message[:8]!r} instead of {number}"
            assert len(message) - 8 in SIZES
        await saying


async def _all(url: str, clients: int, count: int, compression: str | None) -> None:
    async with asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(_converse(url, seed, count, compression))


@pytest.mark.parametrize(("clients", "count", "compression"), [(50, 400, None), (20, 150, "deflate")])
def test_every_message_comes_back_once_and_in_order(
    shared: Stack, cluster: Daemon, clients: int, count: int, compression: str | None
) -> None:
    before = moves(cluster)

    async def run() -> None:
        async with churning(shared, cluster):
            await _all(cluster.url, clients, count, compression)

    asyncio.run(run())
    assert moves(cluster) - before > 4 * clients
    until(partial(_all_usable, cluster), "all three take sessions")
    wait_for_holdings(NOTHING, cluster)
    assert [node.info()["connections"] for node in shared.nodes] == [0, 0, 0]


@pytest.fixture
def mute(cluster: Daemon) -> Iterator[Wire]:
    """A client that has a lot to read, and does not."""
    with Wire(cluster.address, receive_buffer=4096) as client:
        client.open("/echo?session=mute")
        yield client


@contextmanager
def _talking(client: Wire, count: int) -> Iterator[None]:
    """Send so many messages meanwhile, as far as somebody takes them."""
    def talk() -> None:
        with contextlib.suppress(OSError):
            for number in range(count):
                client.send(frame(BINARY, payload(number, LONG)))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        assert not thread.is_alive()


def _wait_until_stuck(proxy: Daemon) -> None:
    """Wait until nothing flows any more: the node is blocked by then, and takes nothing either."""
    seen = [-1.0]

    def still() -> bool:
        now = proxy.metric("flux_proxy_node_bytes_up_total") + proxy.metric("flux_proxy_node_bytes_down_total")
        same, seen[0] = now == seen[0], now
        time.sleep(0.3)
        return same

    until(still, "nothing flows any more")


def _holder(stack: Stack) -> Daemon:
    (found,) = [node for node in stack.nodes if node.info()["connections"]]
    return found


def test_a_client_that_does_not_read_moves_when_it_has_read(shared: Stack, cluster: Daemon, mute: Wire) -> None:
    """Its answers cannot be brought to an end before; then they come whole, and the session moves."""
    before = moves(cluster)
    node = _holder(shared)
    with _talking(mute, MANY):
        _wait_until_stuck(cluster)
        with _drained(node, cluster, 60):
            time.sleep(1)
            assert moves(cluster) == before
            assert node.info()["connections"] == 1
            for number in range(MANY):
                assert mute.read() == Arrived(BINARY, payload(number, LONG))
            until(lambda: moves(cluster) == before + 1, "it has moved")
            mute.echo(b"after")


def test_a_client_that_never_reads_does_not_hold_a_drain_up(shared: Stack, cluster: Daemon, mute: Wire) -> None:
    node = _holder(shared)
    with _talking(mute, MANY):
        _wait_until_stuck(cluster)
        others = [Wire(cluster.address) for _ in range(12)]
        for number, other in enumerate(others):
            other.open(f"/echo?session=other-{number}")
        started = time.monotonic()
        with _drained(node, cluster, 3):
            until(lambda: node.info()["connections"] == 0, "the node is empty", 5)
            assert time.monotonic() - started < 4
            for other in others:
                other.echo()
                other.socket.close()
        # What the kernels hold it can still read; that is whole and in order, and then the stream ends.
        number = 0
        for arrived in mute.frames():
            if arrived.opcode == BINARY:
                assert arrived.payload == payload(number, LONG)
                number += 1
        assert number > 0
        mute.socket.close()
    wait_for_holdings(NOTHING, cluster)


@contextmanager
def _drained(node: Daemon, proxy: Daemon, seconds: int) -> Iterator[None]:
    """Have a node drain meanwhile."""
    node.post(f"/drain?seconds={seconds}")
    try:
        yield
    finally:
        node.post("/undrain")
    until(partial(_all_usable, proxy), "all three take sessions")


def test_a_message_too_large_to_carry_holds_its_session_alone(stack: Stack) -> None:
    """Until the message ends, the session stays where it is, and its client is not closed."""
    stack.redis()
    for _ in range(2):
        stack.gateway(wait=False, ping_interval=QUIET, max_message=2**24, outbox_limit=2**26)
    for node in stack.nodes:
        node.wait_ready()
    proxy = stack.proxy()
    client = Wire(proxy.address)
    client.open("/echo?session=large")
    node = _holder(stack)
    message = frame(BINARY, b"x" * 10 * 2**20)
    client.send(message[: 6 * 2**20])
    until(lambda: proxy.metric("flux_proxy_node_bytes_up_total") == 6 * 2**20, "it has arrived")
    node.post("/drain?seconds=60")
    refused = "flux_proxy_moves_refused_total"
    until(lambda: proxy.metric(refused, cause="message too large to carry") > 1, "it is asked for again and again")
    assert (moves(proxy), node.info()["connections"]) == (0, 1)
    client.send(message[6 * 2**20 :])
    assert len(client.read().payload) == 10 * 2**20
    until(lambda: moves(proxy) == 1, "it has moved")
    client.echo(b"after")
