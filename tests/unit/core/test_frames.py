"""`core.frames`: boundaries of a WebSocket stream, and frames as a server sends them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.protocol import CLIENT, OPEN, Protocol

from flux_gateway.core.frames import LENGTH, WHOLE, FrameTracker, encode_close, encode_frame
from tests.unit.core.support import (
    BINARY,
    CLOSE,
    CONT,
    CUTS,
    PING,
    PONG,
    SOME,
    TEXT,
    WireFrame,
    one_by_one,
    pieces,
)  # fmt: skip

State = tuple[int, bool, bool]

SIZES = st.one_of(st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536]), st.integers(0, 300))


@st.composite
def messages(draw: st.DrawFn, masked: bool) -> list[WireFrame]:
    """One message in one or more fragments, with control frames in between."""
    mask = st.binary(min_size=4, max_size=4) if masked else st.just(b"")
    opcode, frames = draw(st.sampled_from([TEXT, BINARY])), []
    count = draw(st.integers(1, 4))
    for number in range(count):
        size = draw(SIZES)
        frames.append(
            WireFrame(opcode if number == 0 else CONT, b"\x55" * size, number == count - 1, draw(mask))
        )
        if draw(st.booleans()):
            control = draw(st.sampled_from([PING, PONG]))
            frames.append(WireFrame(control, draw(st.binary(max_size=125)), True, draw(mask)))
    return frames


def streams(masked: bool) -> st.SearchStrategy[list[WireFrame]]:
    return st.lists(messages(masked), max_size=4).map(lambda parts: [frame for part in parts for frame in part])


def after(chunks: object) -> State:
    tracker = FrameTracker()
    for chunk in chunks:  # type: ignore[attr-defined]
        tracker.feed(chunk, 0, len(chunk))
    return tracker.rest, tracker.fragmented, tracker.closed


@SOME
@given(st.booleans().flatmap(streams), CUTS)
def test_however_a_stream_is_cut_the_tracker_ends_alike(frames: list[WireFrame], cuts: list[int]) -> None:
    data = b"".join(frame.encode() for frame in frames)
    assert after(pieces(data, cuts)) == after([data]) == (0, False, False)


@SOME
@given(streams(True), st.integers(0, 2**31), CUTS)
def test_a_stream_that_ends_anywhere_leaves_the_same_state_however_it_was_cut(
    frames: list[WireFrame], end: int, cuts: list[int]
) -> None:
    data = b"".join(frame.encode() for frame in frames)
    data = data[: end % (len(data) + 1)]
    whole = after([data])
    assert after(pieces(data, cuts)) == whole
    if len(data) < 2000:
        assert after(one_by_one(data)) == whole


@SOME
@given(st.lists(messages(masked=True), min_size=1, max_size=2))
def test_byte_by_byte_rest_is_zero_exactly_at_the_boundaries(parts: list[list[WireFrame]]) -> None:
    frames = [frame for part in parts for frame in part if len(frame.payload) < 400]
    data, ends, sizes = b"", [], []
    for frame in frames:
        data += frame.encode()
        ends.append(len(data))
        sizes.append(len(frame.payload))
    tracker = FrameTracker()
    for at, byte in enumerate(one_by_one(data), start=1):
        tracker.feed(byte, 0, 1)
        assert (tracker.rest == 0) == (at in ends)
        if tracker.rest > 0:
            assert tracker.rest == min(end for end in ends if end > at) - at


def test_rest_is_minus_one_inside_a_header_and_counts_the_mask_and_payload_after_it() -> None:
    data = WireFrame(BINARY, bytes(200), mask=b"abcd").encode()
    tracker, seen = FrameTracker(), []
    for byte in one_by_one(data[:6]):
        tracker.feed(byte, 0, 1)
        seen.append(tracker.rest)
    assert seen == [-1, -1, -1, 4 + 200, 3 + 200, 2 + 200]


def test_fragmented_lasts_from_the_first_fragment_to_the_last_through_control_frames() -> None:
    tracker, seen = FrameTracker(), []
    for frame in (
        WireFrame(TEXT, b"a", fin=False), WireFrame(PING, b""), WireFrame(CONT, b"b", fin=False),
        WireFrame(PONG, b"x"), WireFrame(CONT, b""), WireFrame(TEXT, b"whole"),
    ):  # fmt: skip
        data = frame.encode()
        tracker.feed(data, 0, len(data))
        seen.append(tracker.fragmented)
        assert tracker.rest == 0
    assert seen == [True, True, True, True, False, False]


def test_closed_is_set_by_the_header_of_a_close_frame() -> None:
    data = WireFrame(CLOSE, b"\x03\xe8bye", mask=b"1234").encode()
    tracker, seen = FrameTracker(), []
    for start, end in ((0, 1), (1, 2), (2, len(data))):
        tracker.feed(data, start, end)
        seen.append((tracker.closed, tracker.rest))
    assert seen == [(False, -1), (True, len(data) - 2), (True, 0)]


@SOME
@given(streams(False), st.binary(max_size=30))
def test_walking_starts_at_the_given_offset_and_ends_at_the_given_size(frames: list[WireFrame], before: bytes) -> None:
    data = b"".join(frame.encode() for frame in frames)
    tracker = FrameTracker()
    tracker.feed(before + data + b"\xff\xff\xff", len(before), len(before) + len(data))
    assert (tracker.rest, tracker.fragmented, tracker.closed) == (0, False, False)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_walked(kind: type) -> None:
    data = WireFrame(BINARY, bytes(70_000)).encode()
    tracker = FrameTracker()
    for chunk in (data[:1], data[1:5], data[5:]):
        tracker.feed(kind(chunk), 0, len(chunk))
    assert tracker.rest == 0


def test_feeding_nothing_changes_nothing() -> None:
    data = WireFrame(TEXT, bytes(300), fin=False).encode()
    for end in (0, 1, 3, 10):
        tracker = FrameTracker()
        tracker.feed(data, 0, end)
        before = tracker.rest
        tracker.feed(b"", 0, 0)
        assert tracker.rest == before


def test_lengths_may_be_written_longer_than_necessary() -> None:
    data = b"".join(WireFrame(TEXT, b"abc", long_form=form).encode() for form in (0, 2, 8))
    assert after([data]) == after(one_by_one(data)) == (0, False, False)


def test_the_table_of_whole_frames_holds_exactly_those_that_leave_no_trace_in_the_walk() -> None:
    assert [first for first in range(256) if WHOLE[first]] == [0x81, 0x82, 0x89, 0x8A]
    for first in range(256):
        for fragmented in (False, True) if WHOLE[first] and first & 0x0F >= CLOSE else (False,):
            tracker = FrameTracker()
            tracker.fragmented = fragmented
            tracker.feed(bytes((first, 0)), 0, 2)
            if WHOLE[first]:
                assert (tracker.rest, tracker.fragmented, tracker.closed) == (0, fragmented, False)


def test_the_table_of_lengths_agrees_with_the_walk() -> None:
    for second in range(256):
        tracker = FrameTracker()
        tracker.feed(bytes((0x82, second)), 0, 2)
        if second & 0x7F > 125:
            assert (LENGTH[second], tracker.rest) == (-1, -1)
        else:
            assert LENGTH[second] == 2 + tracker.rest


def received(data: bytes) -> list[Frame]:
    """Read a server's stream with websockets' own client side."""
    peer = Protocol(CLIENT, state=OPEN, max_size=None)
    peer.receive_data(data)
    assert peer.parser_exc is None
    return [event for event in peer.events_received() if isinstance(event, Frame)]


@SOME
@given(st.sampled_from([TEXT, BINARY, PING, PONG]), SIZES)
def test_an_encoded_frame_is_read_back_by_a_client(opcode: int, size: int) -> None:
    size = min(size, 125) if opcode >= CLOSE else size
    payload = bytes(byte % 128 for byte in range(size))
    data = encode_frame(opcode, payload)
    (frame,) = received(data)
    assert (int(frame.opcode), bytes(frame.data), frame.fin) == (opcode, payload, True)
    assert data == WireFrame(opcode, payload).encode()


@SOME
@given(st.sampled_from([1000, 1001, 1009, 1012, 3001, 4999]), st.text(max_size=200))
def test_a_close_frame_is_read_back_with_as_much_of_its_reason_as_fits(code: int, reason: str) -> None:
    peer = Protocol(CLIENT, state=OPEN)
    peer.receive_data(encode_close(code, reason))
    assert peer.parser_exc is None
    close = peer.close_rcvd
    assert close is not None
    assert close.code == code
    assert reason.startswith(close.reason)
    assert len(reason.encode()) <= 123 or len(close.reason.encode()) > 123 - 4


def test_a_reason_is_never_cut_within_a_character() -> None:
    data = encode_close(1000, "x" * 122 + "é")
    assert data[4:].decode() == "x" * 122
