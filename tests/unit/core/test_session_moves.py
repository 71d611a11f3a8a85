"""`core.session` under moves: wherever a stream is cut, the client cannot tell that its session has moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate

from flux_gateway.core.errors import ThawError, Unmovable
from flux_gateway.core.frames import encode_close
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.residue import limit_for
from flux_gateway.core.session import Session, Traffic
from tests.unit.core.moves import DEFLATE, MAX_SIZE, Mover, Plan, compressed, places, plans
from tests.unit.core.peer import Peer, echo
from tests.unit.core.support import BINARY, CLOSE, CONT, CUTS, PING, PONG, SOME, TEXT, WireFrame, one_by_one, pieces

MASK = b"abcd"
SMALL = st.one_of(st.integers(0, 12), st.sampled_from([125, 126]))


def wire(opcode: int, payload: bytes = b"", fin: bool = True) -> bytes:
    return WireFrame(opcode, payload, fin, MASK).encode()


def unmoved(plan: Plan, chunks: list[bytes]) -> Mover:
    mover = Mover(plan.extensions)
    for chunk in chunks:
        mover.receive(chunk)
    return mover


def moved(plan: Plan, chunks: list[bytes], before: set[int], apart: bool) -> Mover:
    """Give the chunks to a session that moves before those of the given numbers, and once more at the end."""
    mover = Mover(plan.extensions, apart=apart)
    for number, chunk in enumerate(chunks):
        if number in before:
            mover.move()
        mover.receive(chunk)
    return mover


@SOME
@given(st.data(), plans(), st.booleans())
def test_a_session_may_move_at_any_byte_any_number_of_times(data: st.DataObject, plan: Plan, apart: bool) -> None:
    stream = plan.stream()
    chunks = list(pieces(stream, data.draw(places(plan))))
    before = data.draw(st.sets(st.integers(0, len(chunks))))
    expected = unmoved(plan, chunks)
    assert expected.messages == plan.messages
    mover = moved(plan, chunks, before, apart)
    assert mover.facts() == expected.facts()
    assert mover.session.moves == len(before & set(range(len(chunks))))


@SOME
@given(plans(most=2, sizes=SMALL), st.booleans())
def test_a_session_may_move_at_every_byte_of_one_stream(plan: Plan, apart: bool) -> None:
    chunks = list(one_by_one(plan.stream()))
    mover = moved(plan, chunks, set(range(len(chunks))), apart)
    assert mover.facts() == unmoved(plan, chunks).facts()
    assert mover.session.moves == len(chunks)
    assert mover.messages == plan.messages


def rich(extensions: str = "") -> Plan:
    """One of everything, in few bytes."""
    text = "é€😀".encode()
    frames = [
        WireFrame(PING, b"1", True, MASK),
        WireFrame(TEXT, text[:1], False, MASK),
        WireFrame(PING, b"2", True, MASK),
        WireFrame(CONT, b"", False, MASK),
        WireFrame(CONT, text[1:6], False, MASK),
        WireFrame(PONG, b"3", True, MASK),
        WireFrame(CONT, text[6:], True, MASK),
        WireFrame(BINARY, b"", True, MASK),
        WireFrame(BINARY, b"", False, MASK),
        WireFrame(CONT, b"\xff" * 130, True, MASK),
        WireFrame(TEXT, b"end", True, MASK),
        WireFrame(CLOSE, b"\x03\xe8bye", True, MASK),
    ]
    messages = [(TEXT, text), (BINARY, b""), (BINARY, b"\xff" * 130), (TEXT, b"end")]
    if extensions:
        body = compressed(text * 9, 15)
        frames[:0] = [WireFrame(TEXT | 0x40, body[:7], False, MASK), WireFrame(CONT, body[7:], True, MASK)]
        messages.insert(0, (TEXT, text * 9))
    return Plan(extensions, frames, messages)


@pytest.mark.parametrize("apart", [False, True], ids=["joined", "apart"])
@pytest.mark.parametrize("extensions", ["", DEFLATE], ids=["plain", "deflated"])
def test_one_move_at_each_byte_of_a_stream_with_one_of_everything(extensions: str, apart: bool) -> None:
    plan = rich(extensions)
    stream = plan.stream()
    for at in range(len(stream)):
        chunks = [stream[:at], stream[at:]]
        expected = unmoved(plan, chunks)
        assert expected.messages == plan.messages
        assert moved(plan, chunks, {1}, apart).facts() == expected.facts()


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 100_000])
def test_a_large_message_in_flight_travels_with_the_session(size: int) -> None:
    payload, stream = bytes(size), wire(BINARY, bytes(size))
    for at in [*range(1, 16), size // 2, len(stream) - 1]:
        mover = Mover(apart=True)
        mover.receive(stream[:at])
        assert mover.move() == stream[:at]
        assert mover.move() == stream[:at]
        mover.receive(stream[at:])
        assert mover.messages == [(BINARY, payload)]


def test_a_payload_that_looks_like_a_whole_frame_is_not_taken_for_one() -> None:
    alike = wire(TEXT, b"hi")
    stream = WireFrame(BINARY, alike * 3, True, bytes(4)).encode()  # this mask leaves the payload as it is
    mover = Mover(apart=True)
    for piece in (stream[:6], alike, alike):
        mover.receive(piece)
    assert mover.move() == stream[: -len(alike)]
    mover.receive(alike)
    assert mover.messages == [(BINARY, alike * 3)]
    assert mover.move() == b""


@SOME
@given(st.one_of(st.binary(max_size=120), st.binary(max_size=60).map(lambda data: rich().stream()[:90] + data)), CUTS)
def test_also_what_the_rfc_forbids_is_answered_alike(stream: bytes, cuts: list[int]) -> None:
    """Moving before every piece until the session has ended, which a forbidden frame makes it do."""
    chunks = list(pieces(stream, cuts))
    mover, expected = Mover(apart=True), Mover()
    for chunk in chunks:
        if not mover.session.ended:
            mover.move()
        mover.receive(chunk)
        expected.receive(chunk)
    assert mover.facts() == expected.facts()


@pytest.mark.parametrize("bad", [[b"\xff"], [b"\xc3", b"x"], [b"ok", b"\xe2\x82"]])
def test_bad_text_is_refused_after_moves_as_before(bad: list[bytes]) -> None:
    last = len(bad) - 1
    stream = b"".join(wire(CONT if number else TEXT, part, number == last) for number, part in enumerate(bad))
    mover, expected = Mover(), Mover()
    expected.receive(stream)
    for piece in one_by_one(stream):
        mover.move()
        mover.receive(piece)
    assert mover.facts() == expected.facts()
    assert mover.session.outcome() == (1007, "node")


def test_a_message_over_the_size_limit_is_refused_after_a_move_in_the_middle_of_it() -> None:
    mover = Mover(max_size=300)
    mover.receive(wire(BINARY, bytes(200), fin=False))
    mover.move()
    assert mover.receive(wire(CONT, bytes(101)))[2:4] == b"\x03\xf1"


def test_compression_after_a_move_is_the_one_that_was_negotiated() -> None:
    """With a window of 512 bytes a repetition after 600 bytes is not seen; with the default one it would be."""
    block = bytes(range(256)) * 2 + b"0123456789" * 9
    payload = block + block
    for value in (DEFLATE, DEFLATE + "; server_max_window_bits=9; client_max_window_bits=9"):
        mover = Mover(value)
        first = mover.receive(wire(BINARY, payload))
        mover.move()
        assert mover.receive(wire(BINARY, payload)) == first
    assert len(first) > len(Mover(DEFLATE).receive(wire(BINARY, payload)))


def test_a_pong_owed_before_the_move_is_owed_after_it_and_taken_there() -> None:
    mover, pong = Mover(), wire(PONG, b"flux")
    mover.session.ping()
    mover.receive(pong[:5])
    assert mover.move() == pong[:5]
    owed = [mover.session.awaiting_pong]
    mover.receive(pong[5:])
    owed.append(mover.session.awaiting_pong)
    mover.move()
    assert [*owed, mover.session.awaiting_pong] == [True, False, False]


def test_what_a_session_is_goes_along() -> None:
    session = Session("s-7", echo, connected_at=2.5, max_size=MAX_SIZE, traffic=Traffic(), path="/whoami")
    session.moves, session.fence = 4, 9
    state, residual = session.freeze()
    assert state == Frozen(session="s-7", path="/whoami", connected_at=2.5, moves=4, extensions="")
    assert residual == b""
    thawed = Session.thaw(state, echo, max_size=MAX_SIZE, traffic=Traffic())
    assert (thawed.id, thawed.path, thawed.connected_at, thawed.moves, thawed.fence) == ("s-7", "/whoami", 2.5, 4, 0)
    assert thawed.open
    assert not thawed.ended
    assert not thawed.frozen


def is_gone(session: Session) -> bool:
    """Whether the session has been frozen, and says so in every way."""
    facts = {session.frozen, session.ended, not session.open}
    assert len(facts) == 1, facts
    return session.frozen


def test_a_frozen_session_says_nothing_more() -> None:
    session = Peer().session
    assert not is_gone(session)
    session.freeze()
    assert is_gone(session)
    assert session.ping() == b""
    assert session.close(1012, "drain") == b""
    with pytest.raises(Unmovable, match="closing"):
        session.freeze()
    session.eof()  # the barrier may be told twice
    assert is_gone(session)


@pytest.mark.parametrize("why", ["closed by the node", "closed by the client", "broken", "bad text", "gone"])
def test_a_session_that_ends_does_not_move(why: str) -> None:
    peer = Peer()
    match why:
        case "closed by the node":
            peer.session.close(1012, "restart")
        case "closed by the client":
            peer.session.receive(wire(CLOSE, b"\x03\xe8"))
        case "broken":
            peer.session.receive(b"\xf3\x80")
        case "bad text":
            peer.session.receive(wire(TEXT, b"\xff"))
        case _:
            peer.session.eof()
    outcome = peer.session.outcome()
    with pytest.raises(Unmovable, match="closing"):
        peer.session.freeze()
    assert not peer.session.frozen
    assert peer.session.outcome() == outcome


def test_after_a_refused_freeze_the_closing_handshake_goes_on() -> None:
    peer = Peer()
    assert peer.session.close(1012, "restart") == encode_close(1012, "restart")
    with pytest.raises(Unmovable):
        peer.session.freeze()
    peer.session.receive(wire(CLOSE, b"\x03\xf4"))
    assert peer.session.ended
    assert peer.session.outcome() == (1012, "node")


def test_a_message_in_too_many_fragments_is_not_carried_and_the_session_goes_on_and_moves_afterwards() -> None:
    mover = Mover(max_size=2**16)
    fragment = wire(CONT, b"x", fin=False)
    fits = limit_for(2**16) // len(fragment)
    mover.receive(wire(TEXT, b"x", fin=False) + fragment * (fits - 1))
    assert len(mover.move()) == fits * len(fragment)
    mover.receive(fragment)
    with pytest.raises(Unmovable, match="message too large to carry"):
        mover.move()
    assert not is_gone(mover.session)
    assert mover.receive(wire(PING, b"?")) == b"\x8a\x01?"
    mover.receive(wire(CONT, b"!"))
    assert mover.messages == [(TEXT, b"x" * (fits + 1) + b"!")]
    assert mover.move() == b""
    mover.receive(wire(TEXT, b"on"))
    assert mover.messages[-1] == (TEXT, b"on")


def test_compression_with_a_state_of_its_own_does_not_move() -> None:
    session = Session(
        "s-1", echo, connected_at=0.0, max_size=MAX_SIZE, traffic=Traffic(),
        extensions=[PerMessageDeflate(False, True, 15, 15)],
    )  # fmt: skip
    with pytest.raises(Unmovable, match="context takeover"):
        session.freeze()
    assert session.open
    assert not session.ended


def test_a_session_with_an_unknown_extension_is_not_thawed() -> None:
    state = Frozen(session="s-1", path="/echo", connected_at=0.0, moves=0, extensions="permessage-zstd")
    with pytest.raises(ThawError, match="permessage-zstd"):
        Session.thaw(state, echo, max_size=MAX_SIZE, traffic=Traffic())
