"""RFC 6455 on a node: endpoints, messages and fragments, control frames, the closing handshake."""

import json
import struct

import pytest

from tests.integration.gateway.wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Arrived,
    Wire,
    connect,
    frame,
)
from tests.processes import Daemon


def code(number: int, reason: str = "") -> bytes:
    return struct.pack("!H", number) + reason.encode()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 2**20])
def test_echo_keeps_type_and_bytes(node: Daemon, opcode: int, size: int) -> None:
    with connect(node.address) as client:
        client.send(frame(opcode, b"a" * size))
        assert client.read() == Arrived(opcode, b"a" * size)


def test_the_handshake_names_node_and_session(node: Daemon) -> None:
    with Wire(node.address) as first, Wire(node.address) as second:
        answers = [client.open("/whoami").headers for client in (first, second)]
        first.send(frame(TEXT, "who?"))
        facts = json.loads(first.read().payload)
    assert facts == {
        "node": "gateway-1", "session": answers[0]["x-flux-session"], "moves": 0, "connected_at": facts["connected_at"]
    }  # fmt: skip
    assert answers[0]["x-flux-node"] == "gateway-1"
    assert answers[0]["x-flux-session"] != answers[1]["x-flux-session"]


def test_control_frames_between_fragments(node: Daemon) -> None:
    with connect(node.address) as client:
        client.send(frame(TEXT, "one ", fin=False) + frame(PING, "p1"))
        assert client.read() == Arrived(PONG, b"p1")
        client.send(frame(CONT, "two ", fin=False) + frame(PONG, "unasked") + frame(PING, "") + frame(CONT, "three"))
        assert [client.read(), client.read()] == [Arrived(PONG, b""), Arrived(TEXT, b"one two three")]


def test_utf_8_split_within_a_character(node: Daemon) -> None:
    with connect(node.address) as client:
        for byte in "\u20ac\U0001f600".encode():
            client.send(frame(TEXT if byte == 0xE2 else CONT, bytes([byte]), fin=False))
        client.send(frame(CONT, ""))
        assert client.read() == Arrived(TEXT, "\u20ac\U0001f600".encode())


def test_a_message_in_pieces_of_one_byte(node: Daemon) -> None:
    with connect(node.address) as client:
        for byte in frame(TEXT, "slowly"):
            client.send(bytes([byte]))
        assert client.read() == Arrived(TEXT, b"slowly")


BAD_FRAMES = {
    "reserved bit": (frame(TEXT, "x", rsv=4), 1002),
    "unknown opcode": (frame(0x3, "x"), 1002),
    "unknown control opcode": (frame(0xB, "x"), 1002),
    "unmasked": (frame(TEXT, "x", masked=False), 1002),
    "continuation of nothing": (frame(CONT, "x"), 1002),
    "message within a message": (frame(TEXT, "x", fin=False) + frame(TEXT, "y"), 1002),
    "fragmented ping": (frame(PING, "x", fin=False), 1002),
    "ping of 126 bytes": (frame(PING, "x" * 126), 1002),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a reserved code": (frame(CLOSE, code(1005)), 1002),
    "close with a bad reason": (frame(CLOSE, code(1000) + b"\xff"), 1007),
    "text that is not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "text cut within a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "bad second fragment": (frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"\x28", fin=False), 1007),
    "message too big": (frame(BINARY, b"x" * (2**20 + 1)), 1009),
    "fragments too big": (frame(BINARY, b"x" * 2**20, fin=False) + frame(CONT, "x"), 1009),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames_close_with_their_code(node: Daemon, name: str) -> None:
    data, expected = BAD_FRAMES[name]
    with connect(node.address) as client:
        client.send(frame(TEXT, "before") + data)
        assert client.read() == Arrived(TEXT, b"before"), "what came before is answered"
        assert client.closed()[0] == expected


@pytest.mark.parametrize(("payload", "answer"), [
    (b"", b""),
    (code(1000), code(1000)),
    (code(1001, "going away"), code(1001, "going away")),
    (code(4999, "\u20ac"), code(4999, "\u20ac")),
])  # fmt: skip
def test_a_close_is_answered_with_its_code_after_all_answers(node: Daemon, payload: bytes, answer: bytes) -> None:
    with connect(node.address) as client:
        client.send(frame(TEXT, "last") + frame(CLOSE, payload) + frame(TEXT, "too late"))
        assert list(client.frames()) == [Arrived(TEXT, b"last"), Arrived(CLOSE, answer)]


@pytest.mark.parametrize(("payload", "answer"), [(code(1000), code(1000)), (b"", code(1000)), (code(3001), code(3001))])
def test_a_close_within_a_fragmented_message_is_no_fault(node: Daemon, payload: bytes, answer: bytes) -> None:
    with connect(node.address) as client:
        client.send(frame(TEXT, "part", fin=False) + frame(CLOSE, payload))
        assert list(client.frames()) == [Arrived(CLOSE, answer)]


def test_closes_are_counted_by_code_and_side(node: Daemon) -> None:
    name = "flux_node_sessions_closed_total"
    before = [node.metric(name, code=number, by=by) for number, by in (("1001", "client"), ("1007", "node"))]
    for data in (frame(CLOSE, code(1001)), frame(TEXT, b"\xff")):
        with connect(node.address) as client:
            client.send(data)
            client.closed()
    after = [node.metric(name, code=number, by=by) for number, by in (("1001", "client"), ("1007", "node"))]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1]


def test_half_closing_without_a_close_frame_loses_no_answer(node: Daemon) -> None:
    with connect(node.address) as client:
        client.send(frame(TEXT, "last"))
        client.socket.shutdown(1)
        assert list(client.frames()) == [Arrived(TEXT, b"last")]
