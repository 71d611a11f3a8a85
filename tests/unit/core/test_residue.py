"""`core.residue`: of a client's stream, what has not had its effect yet; checked against a model that sees it whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.residue import Residue, limit_for
from tests.unit.core.support import BINARY, CLOSE, CONT, CUTS, PING, PONG, SOME, TEXT, WireFrame, one_by_one, pieces

MASK = b"abcd"


def wire(opcode: int, payload: bytes = b"", fin: bool = True, long_form: int = 0) -> bytes:
    return WireFrame(opcode, payload, fin, MASK, long_form).encode()


@st.composite
def streams(draw: st.DrawFn) -> list[WireFrame]:
    """Frames of a client that keeps to RFC 6455, lengths written short or long."""
    frames: list[WireFrame] = []

    def add(opcode: int, payload: bytes, fin: bool) -> None:
        # A length may be written with more bytes than it needs: some clients do, and it is read here.
        long_form = draw(st.sampled_from([0, 0, 2, 8]) if len(payload) < 0x10000 else st.just(0))
        frames.append(WireFrame(opcode, payload, fin, draw(st.binary(min_size=4, max_size=4)), long_form))

    sizes = st.one_of(st.integers(0, 20), st.sampled_from([0, 0, 125, 126, 127, 300]))
    for _ in range(draw(st.integers(0, 5))):
        parts = draw(st.lists(sizes, min_size=1, max_size=5))
        for number, size in enumerate(parts):
            add(CONT if number else draw(st.sampled_from([TEXT, BINARY])), bytes(size), number == len(parts) - 1)
            if draw(st.integers(0, 2)) == 0:
                add(draw(st.sampled_from([PING, PONG])), bytes(draw(st.sampled_from([0, 1, 125]))), True)
    if draw(st.booleans()):
        add(CLOSE, b"\x03\xe8", True)
    return frames


def model(frames: list[WireFrame], size: int) -> bytes:
    """Return what is left of the first `size` bytes, from the frames and not from the bytes."""
    kept, at = b"", 0
    for frame in frames:
        data = frame.encode()
        if at + len(data) > size:
            return kept + data[: size - at]
        at += len(data)
        if frame.opcode >= CLOSE or (frame.opcode == CONT and not frame.payload and not frame.fin):
            continue
        kept = b"" if frame.fin else kept + data
    return kept


@SOME
@given(streams(), CUTS)
def test_at_every_byte_the_residue_is_what_the_model_says(frames: list[WireFrame], cuts: list[int]) -> None:
    data = b"".join(frame.encode() for frame in frames)
    for chunks in (list(one_by_one(data)), list(pieces(data, cuts))):
        residue, at = Residue(10**6), 0
        for chunk in chunks:
            residue.take(chunk)
            at += len(chunk)
            expected = model(frames, at)
            assert residue.raw == expected
            assert residue.idle is (expected == b"")


@SOME
@given(streams(), CUTS, st.integers(0, 400))
def test_with_a_limit_the_residue_is_the_same_or_none_and_it_finds_the_boundaries(
    frames: list[WireFrame], cuts: list[int], limit: int
) -> None:
    residue, at = Residue(limit), 0
    for chunk in pieces(b"".join(frame.encode() for frame in frames), cuts):
        residue.take(chunk)
        at += len(chunk)
        expected = model(frames, at)
        if not expected:
            assert residue.raw == b""
            assert residue.idle
        elif len(expected) > limit + 139:  # a control frame, which does not count, in its longest form
            assert residue.raw is None
        else:
            assert residue.raw in (expected, None)


@SOME
@given(st.binary(max_size=200), CUTS)
def test_arbitrary_bytes_never_raise_and_pieces_make_no_difference(data: bytes, cuts: list[int]) -> None:
    whole, cut = Residue(10**6), Residue(10**6)
    whole.take(data)
    for chunk in pieces(data, cuts):
        cut.take(chunk)
    assert whole.raw == cut.raw
    assert whole.idle == cut.idle


def test_answered_control_frames_are_left_out_and_an_unfinished_one_is_in() -> None:
    residue = Residue(1000)
    first, ping = wire(TEXT, b"ab", fin=False), wire(PING, b"?")
    residue.take(first + ping + wire(PONG, b"!") + ping[:5])
    assert residue.raw == first + ping[:5]
    residue.take(ping[5:])
    assert residue.raw == first
    residue.take(wire(CONT, b"c"))
    assert residue.raw == b""
    assert residue.idle


@pytest.mark.parametrize("long_form", [0, 2, 8])
def test_empty_continuations_do_not_make_it_grow(long_form: int) -> None:
    residue, first = Residue(100), wire(BINARY, b"ab", fin=False)
    residue.take(first + wire(CONT, b"", fin=False, long_form=long_form) * 1000)
    assert residue.raw == first


def test_an_empty_first_fragment_is_part_of_the_message() -> None:
    residue, first = Residue(100), wire(TEXT, b"", fin=False)
    residue.take(first)
    assert residue.raw == first
    assert not residue.idle


def test_the_largest_message_is_carried_up_to_its_last_byte_and_one_byte_more_is_not() -> None:
    data = wire(BINARY, bytes(500))
    for limit, expected in ((len(data), data[:-1]), (len(data) - 1, None)):
        residue = Residue(limit)
        residue.take(data[:-1])
        assert residue.raw == expected
        residue.take(data[-1:])
        assert residue.raw == b""


def test_a_control_frame_does_not_take_a_message_over_the_limit() -> None:
    first, ping = wire(BINARY, bytes(50), fin=False), wire(PING, bytes(125))
    residue = Residue(len(first))
    residue.take(first + ping[:-1])
    assert residue.raw == first + ping[:-1]
    residue.take(ping[-1:])
    assert residue.raw == first


def test_over_the_limit_nothing_is_carried_until_the_message_ends() -> None:
    residue, part = Residue(100), wire(CONT, bytes(60), fin=False)
    residue.take(wire(BINARY, bytes(60), fin=False) + part[:1])
    assert (residue.raw is None, residue.idle) == (False, False)
    residue.take(part[1:10])
    assert (residue.raw is None, residue.idle) == (True, False)
    residue.take(part[10:] + wire(PING, b"?")[:4])
    assert (residue.raw, residue.idle) == (None, False)
    residue.take(wire(PING, b"?")[4:] + wire(CONT, b""))
    assert (residue.raw, residue.idle) == (b"", True)
    residue.take(part[:30])
    assert (residue.raw, residue.idle) == (part[:30], False)


def test_a_message_of_the_largest_size_in_fragments_of_a_kilobyte_is_within_the_limit() -> None:
    size = 2**20
    residue = Residue(limit_for(size))
    residue.take(wire(BINARY, bytes(1024), fin=False))
    for _ in range(size // 1024 - 1):
        residue.take(wire(CONT, bytes(1024), fin=False))
    assert residue.raw is not None
