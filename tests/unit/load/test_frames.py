"""`load.frames` against the `websockets` library as the other side, in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from flux_gateway.core.frames import BINARY, CLOSE, TEXT
from flux_gateway.load.frames import (
    LARGEST,
    PING,
    PONG,
    FrameReader,
    Violation,
    client_frame,
    client_head,
    close_code,
    server_head,
)

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 70000)


def serve(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A frame as the library's server sends it."""
    return Frame(Opcode(opcode), payload, fin).serialize(mask=False)


@pytest.mark.parametrize("size", SIZES)
def test_the_library_reads_our_frames(size: int) -> None:
    payload = bytes(index & 0xFF for index in range(size))
    server = Protocol(Side.SERVER, max_size=None)
    server.receive_data(client_frame(BINARY, payload))
    (frame,) = server.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.data, frame.fin) == (BINARY, payload, True)


@pytest.mark.parametrize("size", SIZES)
def test_the_head_of_an_answer_is_what_a_server_sends(size: int) -> None:
    payload = bytes(size)
    assert server_head(BINARY, size) + payload == serve(BINARY, payload)
    assert client_head(BINARY, size) + payload == client_frame(BINARY, payload)


@pytest.mark.parametrize("size", SIZES)
def test_we_read_the_librarys_frames(size: int) -> None:
    payload = bytes(index & 0xFF for index in range(size))
    reader = FrameReader()
    assert reader.feed(serve(BINARY, payload)) == [(BINARY, payload)]
    assert reader.idle


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from((TEXT, BINARY)), st.lists(st.binary(max_size=300), min_size=1, max_size=4)),
            st.tuples(st.sampled_from((PING, PONG)), st.lists(st.binary(max_size=125), min_size=1, max_size=1)),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.booleans(),
)
def test_any_messages_survive_any_cut(
    messages: list[tuple[int, list[bytes]]], cuts: list[int], ping_between: bool
) -> None:
    stream, wanted = b"", []
    for opcode, parts in messages:
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            stream += serve(opcode if index == 0 else 0, part, last)
            if ping_between and not last:
                stream += serve(PING, b"between")
                wanted.append((PING, b"between"))
        wanted.append((opcode, b"".join(parts)))
    reader = FrameReader()
    found: list[tuple[int, bytes]] = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[at : at + size])
        at += size
        turn += 1
    assert found == wanted
    assert reader.idle


def test_the_reader_is_not_idle_within_a_message() -> None:
    reader = FrameReader()
    reader.feed(b"\x82")
    assert not reader.idle
    reader = FrameReader()
    assert reader.feed(serve(TEXT, b"begun", fin=False)) == []
    assert not reader.idle


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\xc2\x00", 1002),  # reserved bit
        (b"\x83\x00", 1002),  # unknown opcode
        (b"\x82\x80\0\0\0\0", 1002),  # masked
        (b"\x89\x7e\x00\x80", 1002),  # long ping
        (b"\x09\x00", 1002),  # fragmented ping
        (b"\x80\x00", 1002),  # continuation of nothing
        (b"\x02\x00\x82\x00", 1002),  # a new message within a message
        (b"\x82\x7f" + (LARGEST + 1).to_bytes(8, "big"), 1009),
    ],
)
def test_what_the_rfc_forbids_is_refused(stream: bytes, code: int) -> None:
    with pytest.raises(Violation) as caught:
        FrameReader().feed(stream)
    assert caught.value.code == code


def test_close_codes() -> None:
    assert close_code(b"\x03\xf4going") == 1012
    assert close_code(b"") == 1005
    (found,) = FrameReader().feed(serve(CLOSE, b"\x03\xe8"))
    assert found == (CLOSE, b"\x03\xe8")
