"""Sessions that come to a node: who may bring them, and which of two copies stays.

The proxy is the test's own (`proxy_side`), the node is real; the sessions come from a node that is not here.
"""

import json
import time
from collections.abc import Callable, Iterator
from unittest.mock import ANY
from uuid import uuid4

import msgspec
import pytest

from flux_gateway.core import frozen
from flux_gateway.core.proxy_protocol import TICKET, UNIQUE_ID
from tests.integration.gateway.proxy_side import ATTACHED, QUIET, ProxySide, holds_nothing, state_of, to_end
from tests.integration.gateway.wire import CONT, TEXT, Answer, Arrived, Wire, close_all, frame
from tests.processes import Daemon, Stack, until

TAKEN = ATTACHED % b"gateway-1"


@pytest.fixture(scope="module")
def node(shared: Stack) -> Daemon:
    """The node that sessions come to."""
    return shared.gateway(ping_interval=QUIET)


@pytest.fixture
def side(shared: Stack, node: Daemon) -> Iterator[ProxySide]:
    """The proxy; when it has let go of everything, so must the node."""
    yield ProxySide(shared)
    close_all()
    until(lambda: holds_nothing(node), "the node has let go of every session, link and socket")


@pytest.fixture
def nothing_opened(node: Daemon) -> Iterator[None]:
    """The test must neither open a session nor attach one, and must end none."""
    names = [f"flux_node_sessions_{what}_total" for what in ("opened", "attached", "closed", "dropped")]
    before = [node.metric(name) for name in names]
    yield
    assert [node.metric(name) for name in names] == before


def attachable(side: ProxySide, node: Daemon, session: str, fence: int = 1) -> Wire:
    """Return a connection on which all was sent that attaches a session; the answer is still to be read."""
    wire = side.connect(node, side.ticket(session, state_of(session), fence=fence))
    wire.send(state_of(session))
    return wire


def refused(wire: Wire) -> Answer:
    """Return the answer of a node that does not take a session: the connection ends with it."""
    answer = wire.answer()
    assert to_end(wire) == b""
    assert answer.status != 101
    return answer


def refusals(node: Daemon, status: int) -> float:
    """Return how many sessions from elsewhere the node has refused with this status."""
    return node.metric("flux_node_attaches_refused_total", status=str(status))


def test_the_stream_goes_on_where_it_was(side: ProxySide, node: Daemon) -> None:
    session = uuid4().hex
    attached = node.metric("flux_node_sessions_attached_total", reason="reattach")
    wire = side.connect(node, side.ticket(session, state_of(session, "/whoami"), reason="reattach"))
    wire.send(state_of(session, "/whoami") + frame(TEXT, "wh", fin=False))
    assert wire.take(len(TAKEN)) == TAKEN
    wire.send(frame(CONT, "o?"))
    facts = {"node": "gateway-1", "session": session, "moves": 1, "connected_at": 1.5}
    assert json.loads(wire.read().payload) == facts
    assert node.metric("flux_node_sessions_attached_total", reason="reattach") - attached == 1


def test_an_attach_in_pieces_of_one_byte(side: ProxySide, node: Daemon) -> None:
    session = uuid4().hex
    state = state_of(session)
    with Wire(node.address, source=side.host) as wire:
        whole = side.header(node, side.ticket(session, state)) + state + frame(TEXT, "residual")
        for byte in whole:
            wire.send(bytes([byte]))
        assert wire.take(len(TAKEN)) == TAKEN
        assert wire.read() == Arrived(TEXT, b"residual")


def test_nothing_is_answered_before_the_state_is_whole(side: ProxySide, node: Daemon) -> None:
    session = uuid4().hex
    state = state_of(session)
    wire = side.connect(node, side.ticket(session, state))
    wire.send(state[:-1])
    wire.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        wire.take(1)
    wire.send(state[-1:])
    assert wire.take(len(TAKEN)) == TAKEN


def test_a_proxy_that_leaves_in_the_middle_of_the_state(side: ProxySide, node: Daemon, nothing_opened: None) -> None:
    session = uuid4().hex
    with side.connect(node, side.ticket(session, state_of(session))) as wire:
        wire.send(state_of(session)[:-1])
        wire.socket.shutdown(1)
        assert to_end(wire) == b""


def test_a_client_that_has_left_meanwhile(side: ProxySide, node: Daemon) -> None:
    session = uuid4().hex
    with attachable(side, node, session) as wire:
        wire.send(frame(TEXT, "last"))
        wire.socket.shutdown(1)
        assert to_end(wire) == TAKEN + b"\x81\x04last"


def test_a_residual_that_breaks_the_protocol_closes_the_session(side: ProxySide, node: Daemon) -> None:
    wire = attachable(side, node, uuid4().hex)
    wire.send(b"\xff\xff\xff\xff")
    assert wire.take(len(TAKEN)) == TAKEN
    assert wire.closed()[0] == 1002


Tlvs = dict[int, bytes]


def no_ticket(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return {UNIQUE_ID: session.encode(), TICKET: b""}


def noise(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return {UNIQUE_ID: session.encode(), TICKET: bytes(117)}


def forged(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return side.ticket(session, state, secret=b"secret of another cluster")


def expired(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return side.ticket(session, state, expires=time.time() - 1)


def another_sessions(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return side.ticket("0" * 32, state) | {UNIQUE_ID: session.encode()}


def without_a_session(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return {TICKET: side.ticket(session, state)[TICKET]}


def for_another_state(side: ProxySide, session: str, state: bytes) -> Tlvs:
    return side.ticket(session, state_of(session, "/whoami"))


def for_another_sessions_state(side: ProxySide, session: str, state: bytes) -> Tlvs:
    """A proxy that is trusted, but mistaken: signed is the state of one session under the name of another."""
    return side.ticket("0" * 32, state)


@pytest.mark.parametrize(("made", "why"), [
    (no_ticket, "not signed"), (noise, "not signed"), (forged, "not signed"), (expired, "expired 1."),
    (another_sessions, "for another session"), (without_a_session, "for another session"),
    (for_another_state, "state is not the one"), (for_another_sessions_state, "for another session"),
])  # fmt: skip
def test_a_ticket_that_is_not_for_this_is_refused(
    side: ProxySide, node: Daemon, nothing_opened: None, made: Callable[[ProxySide, str, bytes], Tlvs], why: str
) -> None:
    session = uuid4().hex
    state, before = state_of(session), refusals(node, 403)
    wire = side.connect(node, made(side, session, state))
    wire.send(state.ljust(200, b"\0"))
    answer = refused(wire)
    assert answer.status == 403
    assert why in answer.body
    assert refusals(node, 403) - before == 1


def test_a_state_that_was_tampered_with_is_refused(side: ProxySide, node: Daemon, nothing_opened: None) -> None:
    session = uuid4().hex
    state = state_of(session)
    for at in range(0, len(state), 7):
        wire = side.connect(node, side.ticket(session, state))
        wire.send(state[:at] + bytes([state[at] ^ 1]) + state[at + 1 :])
        assert refused(wire) == Answer(403, ANY, "403 ticket refused: state is not the one the ticket was signed for\n")


def test_a_state_without_a_ticket_is_no_session(side: ProxySide, node: Daemon, nothing_opened: None) -> None:
    session = uuid4().hex
    wire = side.connect(node, {UNIQUE_ID: session.encode()})
    wire.send(state_of(session))
    assert refused(wire).status == 400


def test_noise_after_a_header_without_a_ticket_is_refused(
    side: ProxySide, node: Daemon, nothing_opened: None
) -> None:
    wire = side.connect(node, {UNIQUE_ID: b"a"})
    wire.send(b"\0\xff" * 40_000)
    assert refused(wire).status in (400, 431)


def test_a_ticket_from_a_peer_that_is_no_proxy_is_not_even_read(
    shared: Stack, side: ProxySide, node: Daemon, nothing_opened: None
) -> None:
    session = uuid4().hex
    with Wire(node.address, source=shared.host(9, 1)) as wire:
        wire.send(side.header(node, side.ticket(session, state_of(session))))
        assert to_end(wire) == b""


def packed(session: str, **changed: object) -> bytes:
    """Return a state's fields, of which some were changed or, if None, left out."""
    fields = msgspec.to_builtins(frozen.decode(state_of(session))) | changed
    return msgspec.msgpack.encode({name: value for name, value in fields.items() if value is not None})


@pytest.mark.parametrize(("make", "why"), [
    (lambda session: b"\x02" + packed(session),
     "frozen by a newer version (2, this node knows 1): update this node first"),
    (lambda session: b"\x00" + packed(session), "too old for this node"),
    (lambda session: b"\x01" + packed(session)[:-1], "not the state of a session"),
    (lambda session: b"\x01" + packed(session, path=None), "not the state of a session"),
    (lambda session: b"", "no state"),
    (lambda session: b"\x01" + packed(session, path="/gone"), "no endpoint /gone"),
    (lambda session: b"\x01" + packed(session, extensions="permessage-zip"), "permessage-zip"),
    (lambda session: b"\x01" + packed(session, extensions="permessage-deflate"), "permessage-deflate"),
])  # fmt: skip
def test_a_session_that_this_node_cannot_thaw_is_left_to_others(
    side: ProxySide, node: Daemon, nothing_opened: None, make: Callable[[str], bytes], why: str
) -> None:
    session = uuid4().hex
    state, before = make(session), refusals(node, 503)
    wire = side.connect(node, side.ticket(session, state))
    wire.send(state)
    answer = refused(wire)
    assert answer.status == 503
    assert why in answer.body
    assert refusals(node, 503) - before == 1


def test_fields_of_a_later_release_are_no_reason_to_refuse(side: ProxySide, node: Daemon) -> None:
    session = uuid4().hex
    state = b"\x01" + packed(session, invented_later=7)
    wire = side.connect(node, side.ticket(session, state))
    wire.send(state)
    assert wire.take(len(TAKEN)) == TAKEN


def test_a_draining_node_takes_no_session(side: ProxySide, node: Daemon, nothing_opened: None) -> None:
    session = uuid4().hex
    assert node.post("/drain?seconds=30")[0] == 202
    try:
        wire = side.connect(node, side.ticket(session, state_of(session)))
        wire.send(state_of(session))
        answer = refused(wire)
    finally:
        assert node.post("/undrain")[0] == 200
    assert (answer.status, answer.body) == (503, "503 node gateway-1 is DRAINING\n")


def test_the_copy_with_the_higher_fencing_number_stays(side: ProxySide, node: Daemon) -> None:
    """The older copy goes without a close frame, the attach that comes too late is refused."""
    session, opened = side.open(node)
    names = [f"flux_node_sessions_{what}_total" for what in ("dropped", "closed")]
    before, refused_before = [node.metric(name) for name in names], refusals(node, 409)
    second = attachable(side, node, session, fence=1)
    assert second.take(len(TAKEN)) == TAKEN
    opened.socket.settimeout(1)
    assert to_end(opened) == b""
    for fence in (0, 1):
        answer = refused(attachable(side, node, session, fence=fence))
        assert (answer.status, f"{session} is here already, with fencing number 1" in answer.body) == (409, True)
    second.echo()
    third = attachable(side, node, session, fence=7)
    assert third.take(len(TAKEN)) == TAKEN
    assert to_end(second) == b""
    third.echo()
    assert [node.metric(name) - then for name, then in zip(names, before, strict=True)] == [2, 0]
    assert refusals(node, 409) - refused_before == 2


def test_a_refused_attach_leaves_the_copy_that_is_here_alone(side: ProxySide, node: Daemon) -> None:
    """Whatever its fencing number: the old copy goes only when the new one is there."""
    session, wire = side.open(node)
    state = b"\x02" + packed(session)
    attempt = side.connect(node, side.ticket(session, state, fence=9))
    attempt.send(state)
    assert refused(attempt).status == 503
    wire.echo()


def test_a_node_without_a_token_takes_no_session(side: ProxySide, shared: Stack) -> None:
    node, session = shared.gateway(token_file="", wait=False).wait_ready(), uuid4().hex
    answer = refused(attachable(side, node, session))
    assert answer.status == 403
    assert "no token_file" in answer.body
    _, wire = side.open(node)
    wire.echo()
