"""Sessions that leave a node: what is agreed on over the link, the barrier, and what the node hands over.

The proxy is the test's own (`proxy_side`), the nodes are real.
"""

import contextlib
import json
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from flux_gateway.core.link import Detach, Detaching, Drop, Refused
from tests.integration.gateway.proxy_side import QUIET, Link, ProxySide, frames_in, holds_nothing, to_end
from tests.integration.gateway.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Arrived, Wire, close_all, frame
from tests.processes import Daemon, Stack, until


@pytest.fixture(scope="module")
def first(shared: Stack) -> Daemon:
    """The node that sessions leave."""
    return shared.gateway(deflate=True, ping_interval=QUIET)


@pytest.fixture(scope="module")
def second(shared: Stack, first: Daemon) -> Daemon:
    """The node that they go to."""
    return shared.gateway(deflate=True, ping_interval=QUIET)


@pytest.fixture
def side(shared: Stack, first: Daemon, second: Daemon) -> Iterator[ProxySide]:
    """The proxy; when it has let go of everything, so must the nodes."""
    yield ProxySide(shared)
    close_all()
    for node in (first, second):
        until(partial(holds_nothing, node), f"{node.name} has let go of every session, link and socket")


@pytest.fixture
def told(side: ProxySide, first: Daemon) -> Iterator[Link]:
    """The proxy's link to the first node."""
    with side.link(first) as told:
        yield told


Counted = Callable[[], dict[str, float]]


@pytest.fixture
def counted(first: Daemon, second: Daemon) -> Counted:
    """Return what both nodes have counted since the test's start, without what is 0."""
    def count() -> dict[str, float]:
        left = {name: first.metric(f"flux_node_sessions_{name}_total") for name in ("opened", "released", "closed")}
        return left | {
            "unmovable": first.metric("flux_node_releases_refused_total", reason="closing"),
            "moved": second.metric("flux_node_sessions_attached_total", reason="move"),
            "reattached": second.metric("flux_node_sessions_attached_total", reason="reattach"),
        }

    before = count()
    return lambda: {name: value - before[name] for name, value in count().items() if value != before[name]}


def facts(wire: Wire) -> dict[str, object]:
    """Ask who serves the session."""
    wire.send(frame(TEXT, "who?"))
    found: dict[str, object] = json.loads(wire.read().payload)
    return found


def test_a_session_goes_on_at_another_node(
    side: ProxySide, told: Link, first: Daemon, second: Daemon, counted: Counted
) -> None:
    session, wire = side.open(first, "/whoami")
    before = facts(wire)
    assert (before["node"], before["session"], before["moves"]) == ("gateway-1", session, 0)
    wire = side.move(told, second, session, wire)
    assert facts(wire) == before | {"node": "gateway-2", "moves": 1}
    assert counted() == {"opened": 1, "released": 1, "moved": 1}


def test_back_and_forth(side: ProxySide, told: Link, first: Daemon, second: Daemon) -> None:
    session, wire = side.open(first, "/whoami")
    with side.link(second) as other:
        for moves in range(1, 7):
            target, link = (second, told) if moves % 2 else (first, other)
            wire = side.move(link, target, session, wire)
            assert (facts(wire)["node"], facts(wire)["moves"]) == (target.name, moves)


def test_whatever_came_before_the_barrier_is_answered_before_the_end(
    side: ProxySide, told: Link, first: Daemon, second: Daemon
) -> None:
    """Messages go on while the node is being asked, and the client's half-close is the barrier, not the asking."""
    session, wire = side.open(first)
    sent = [str(number).encode() * 500 for number in range(300)]
    wire.send(b"".join(frame(BINARY, one) for one in sent[:100]))
    told.agree(session)
    wire.send(b"".join(frame(BINARY, one) for one in sent[100:200]))
    assert wire.read() == Arrived(BINARY, sent[0])
    wire.send(b"".join(frame(BINARY, one) for one in sent[200:]))
    released, arrived = side.fetch_agreed(told, session, wire)
    assert [one.payload for one in arrived] == sent[1:]
    assert released.residual == b""
    side.attach(second, released).echo()


@pytest.mark.parametrize("size", [1, 126, 65_536])
@pytest.mark.parametrize("kept", [1, 2, 5, 7, -1])
def test_half_a_message_travels(
    side: ProxySide, told: Link, first: Daemon, second: Daemon, size: int, kept: int
) -> None:
    """Cut within the header, the mask, the payload: the first node hands on what it has, the second answers."""
    message = frame(TEXT, b"a" * size)
    session, wire = side.open(first)
    kept = min(kept, len(message) - 1)
    wire.send(frame(TEXT, "whole") + message[:kept])
    released, arrived = side.fetch(told, session, wire)
    assert (released.residual, arrived) == (message[:kept], [Arrived(TEXT, b"whole")])
    wire = side.attach(second, released)
    wire.send(message[kept:] + frame(TEXT, "more"))
    assert [wire.read(), wire.read()] == [Arrived(TEXT, b"a" * size), Arrived(TEXT, b"more")]


def test_a_large_message_on_its_way_does_not_hold_the_move_up(
    side: ProxySide, told: Link, first: Daemon, second: Daemon
) -> None:
    message = frame(BINARY, bytes(range(256)) * 4096)
    session, wire = side.open(first)
    wire.send(message[:700_000])
    released, arrived = side.fetch(told, session, wire)
    assert (len(released.residual), arrived) == (700_000, [])
    wire = side.attach(second, released)
    wire.send(message[700_000:])
    assert wire.read() == Arrived(BINARY, message[14:])


def test_a_fragmented_message_travels_without_what_was_answered(
    side: ProxySide, told: Link, first: Daemon, second: Daemon
) -> None:
    """The ping between the fragments was answered by the first node; the second must not answer it again."""
    begun = frame(TEXT, "one ", fin=False)
    session, wire = side.open(first)
    wire.send(begun + frame(PING, "p") + frame(CONT, "", fin=False) + frame(CONT, "two ", fin=False))
    assert wire.read() == Arrived(PONG, b"p")
    released, arrived = side.fetch(told, session, wire)
    assert (released.residual, arrived) == (begun + frame(CONT, "two ", fin=False), [])
    wire = side.attach(second, released)
    wire.send(frame(PING, "q") + frame(CONT, "three"))
    assert [wire.read(), wire.read()] == [Arrived(PONG, b"q"), Arrived(TEXT, b"one two three")]


def test_a_compressed_session_stays_compressed(side: ProxySide, told: Link, first: Daemon, second: Daemon) -> None:
    def compressed(text: bytes) -> bytes:
        deflate = zlib.compressobj(wbits=-15)
        return frame(TEXT, (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)

    asked = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    session, wire = side.open(first, headers={"Sec-WebSocket-Extensions": asked})
    message = compressed(b"to be or not to be, " * 20)
    wire.send(message + message[:9])
    released, arrived = side.fetch(told, session, wire)
    wire = side.attach(second, released)
    wire.send(message[9:])
    for answer in (*arrived, wire.read()):
        assert answer.rsv1
        inflated = zlib.decompressobj(wbits=-15).decompress(answer.payload + b"\0\0\xff\xff")
        assert inflated == b"to be or not to be, " * 20
    assert len(arrived) == 1


def test_many_at_once(side: ProxySide, told: Link, first: Daemon, second: Daemon, counted: Counted) -> None:
    wires = dict(side.open(first) for _ in range(50))
    told.agree(*wires)
    for session, wire in wires.items():
        released, _ = side.fetch_agreed(told, session, wire)
        side.attach(second, released).echo()
    assert counted() == {"opened": 50, "released": 50, "moved": 50}


def test_each_session_asked_for_is_answered_by_name(side: ProxySide, told: Link, first: Daemon) -> None:
    session, wire = side.open(first)
    closing, closed = side.open(first)
    closed.send(frame(CLOSE, struct.pack("!H", 1000)))
    assert closed.read().opcode == CLOSE
    told.say(Detach([closing, "0" * 32, session]))
    assert told.hear(Detaching).sessions == [session]
    assert told.hear(Refused).sessions == {closing: "closing", "0" * 32: "unknown"}
    wire.echo()


def test_a_client_that_closes_before_the_barrier_has_closed(
    side: ProxySide, told: Link, first: Daemon, counted: Counted
) -> None:
    session, wire = side.open(first)
    told.agree(session)
    wire.send(frame(CLOSE, struct.pack("!H", 1000)))
    wire.socket.shutdown(socket.SHUT_WR)
    assert told.hear(Refused).sessions == {session: "closing"}
    assert frames_in(to_end(wire)) == [Arrived(CLOSE, struct.pack("!H", 1000))]
    until(lambda: first.info()["connections"] == 0, "the session is over")
    assert counted() == {"opened": 1, "closed": 1, "unmovable": 1}


def test_the_end_of_a_stream_alone_is_no_move(side: ProxySide, told: Link, first: Daemon, counted: Counted) -> None:
    _, wire = side.open(first)
    wire.send(frame(TEXT, "last"))
    wire.socket.shutdown(socket.SHUT_WR)
    assert frames_in(to_end(wire)) == [Arrived(TEXT, b"last")]
    told.hears_nothing()
    assert counted() == {"opened": 1, "closed": 1}


@pytest.mark.parametrize("leave", [Link.close, Link.cut])
def test_a_link_that_breaks_takes_its_agreement_along(
    side: ProxySide, told: Link, first: Daemon, counted: Counted, leave: Callable[[Link], None]
) -> None:
    session, wire = side.open(first)
    said = first.said().count("link closed")
    told.agree(session)
    leave(told)
    until(lambda: first.said().count("link closed") > said, "the node has noticed")
    wire.echo()
    wire.socket.shutdown(socket.SHUT_WR)
    assert to_end(wire) == b""
    assert counted() == {"opened": 1, "closed": 1}


def test_another_proxys_link_that_breaks_changes_nothing(
    side: ProxySide, told: Link, first: Daemon, second: Daemon
) -> None:
    session, wire = side.open(first)
    said = first.said().count("link closed")
    with side.link(first) as other:
        told.agree(session)
        other.close()
    until(lambda: first.said().count("link closed") > said, "the node has noticed")
    released, _ = side.fetch_agreed(told, session, wire)
    side.attach(second, released).echo()


def test_an_agreement_ends_after_ten_seconds(side: ProxySide, told: Link, first: Daemon, counted: Counted) -> None:
    session, wire = side.open(first)
    with told.kept_alive():
        told.agree(session)
        wire.socket.settimeout(10.5)
        with pytest.raises(TimeoutError):
            wire.read()
    wire.socket.shutdown(socket.SHUT_WR)
    assert to_end(wire) == b""
    told.hears_nothing()
    assert counted() == {"opened": 1, "closed": 1}


def test_a_client_that_does_not_read_is_no_candidate(
    side: ProxySide, told: Link, first: Daemon, second: Daemon
) -> None:
    """Its output could not be brought to an end in time. Once it has read, it can be moved."""
    session, wire = side.open(first, receive_buffer=4096)
    message, sent = frame(BINARY, b"a" * 65_536), 0
    wire.socket.setblocking(False)
    while isinstance(answer := told.asked(session), Detaching):
        with contextlib.suppress(BlockingIOError):
            sent += wire.socket.send(message[sent % len(message) :])
    assert answer == Refused({session: "slow client"})
    wire.socket.settimeout(15)
    for _ in range(sent // len(message)):
        assert len(wire.read().payload) == 65_536
    until(lambda: isinstance(told.asked(session), Detaching), "the node agrees")
    released, _ = side.fetch_agreed(told, session, wire)
    assert released.residual == message[: sent % len(message)]
    wire = side.attach(second, released)
    wire.send(message[sent % len(message) :])
    assert len(wire.read().payload) == 65_536


def test_a_copy_that_was_overtaken_is_dropped_on_the_proxys_word(
    side: ProxySide, told: Link, first: Daemon, second: Daemon, counted: Counted
) -> None:
    """Only copies with a lower fencing number go, and they go without a close frame."""
    stale, stale_wire = side.open(first)
    session, wire = side.open(first)
    wire = side.attach(first, side.fetch(told, session, wire)[0])
    dropped = first.metric("flux_node_sessions_dropped_total")
    told.say(Drop({stale: 1, session: 1, "0" * 32: 9}))
    stale_wire.socket.settimeout(1)
    assert to_end(stale_wire) == b""
    wire.echo()
    assert first.metric("flux_node_sessions_dropped_total") - dropped == 1
    assert "closed" not in counted()
