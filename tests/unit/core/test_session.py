"""`core.session`: what a session answers to what a client says, whatever the pieces."""

import pytest

from tests.unit.core.peer import Peer
from tests.unit.core.support import BINARY, CLOSE, CONT, PING, PONG, TEXT, one_by_one

GARBAGE = b"\xf3\x80"  # a reserved bit and a reserved opcode


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.mark.parametrize(
    ("opcode", "name", "payload"),
    [(TEXT, "TEXT", "grüße".encode()), (BINARY, "BINARY", b"\xff\x00"), (TEXT, "TEXT", b""), (BINARY, "BINARY", b"")],
)
def test_a_whole_message_is_answered_as_what_it_was(peer: Peer, opcode: int, name: str, payload: bytes) -> None:
    assert peer.exchange(peer.raw(opcode, payload)) == [(name, payload)]


def test_several_messages_in_one_burst_are_answered_in_order(peer: Peer) -> None:
    burst = b"".join(peer.raw(TEXT, b"%d" % number) for number in range(20))
    assert peer.exchange(burst) == [("TEXT", b"%d" % number) for number in range(20)]


def test_fragments_are_answered_as_one_message_and_pings_between_at_once(peer: Peer) -> None:
    assert peer.exchange(peer.raw(BINARY, b"ab", fin=False)) == []
    assert peer.exchange(peer.raw(PING, b"?")) == [("PONG", b"?")]
    assert peer.exchange(peer.raw(CONT, b"", fin=False)) == []
    assert peer.exchange(peer.raw(CONT, b"cd")) == [("BINARY", b"abcd")]


def test_a_text_after_a_fragmented_binary_message_is_judged_as_text(peer: Peer) -> None:
    peer.exchange(peer.raw(TEXT, b"a", fin=False) + peer.raw(CONT, b"b"))
    assert peer.exchange(peer.raw(BINARY, b"\xff", fin=False) + peer.raw(CONT, b"\xfe")) == [("BINARY", b"\xff\xfe")]
    answers = peer.exchange(peer.raw(TEXT, b"\xff", fin=False))
    assert answers[-1][0] == "CLOSE"


def test_a_character_may_be_split_over_fragments(peer: Peer) -> None:
    smile = "😀".encode()
    burst = peer.raw(TEXT, smile[:1], fin=False) + peer.raw(CONT, smile[1:3], fin=False) + peer.raw(CONT, smile[3:])
    assert peer.exchange(burst) == [("TEXT", smile)]


@pytest.mark.parametrize(
    "fragments",
    [[b"\xff"], [b"\xed\xa0\x80"], [b"\xc3"], [b"ok", b"\xff"], [b"\xc3", b"x"], [b"ok", b"\xe2\x82"]],
    ids=["no lead byte", "surrogate", "cut short", "in a later fragment", "split wrongly", "ends in a character"],
)
@pytest.mark.parametrize("bytewise", [False, True])
def test_text_that_is_not_utf8_is_closed_with_1007(peer: Peer, fragments: list[bytes], bytewise: bool) -> None:
    last = len(fragments) - 1
    data = b"".join(
        peer.raw(CONT if number else TEXT, part, number == last) for number, part in enumerate(fragments)
    )
    answers = [answer for piece in (one_by_one(data) if bytewise else [data]) for answer in peer.exchange(piece)]
    assert [(name, int.from_bytes(payload[:2], "big")) for name, payload in answers] == [("CLOSE", 1007)]
    assert peer.ended()
    assert not peer.is_open()
    assert peer.session.outcome() == (1007, "node")


def test_bad_text_is_refused_at_the_fragment_in_which_it_shows(peer: Peer) -> None:
    assert peer.exchange(peer.raw(TEXT, b"\xff", fin=False))[0][0] == "CLOSE"


def test_a_message_and_a_close_in_one_burst_are_answered_in_that_order(peer: Peer) -> None:
    peer.protocol.send_text(b"last")
    peer.protocol.send_close(1000, "bye")
    assert peer.exchange(peer.outgoing()) == [("TEXT", b"last"), ("CLOSE", b"\x03\xe8bye")]
    assert peer.ended()
    assert peer.session.outcome() == (1000, "client")


def test_a_message_and_garbage_in_one_burst_are_answered_then_closed_with_1002(peer: Peer) -> None:
    answers = peer.exchange(peer.raw(TEXT, b"last") + GARBAGE)
    assert answers[0] == ("TEXT", b"last")
    assert answers[1][0] == "CLOSE"
    assert answers[1][1][:2] == b"\x03\xea"
    assert len(answers) == 2
    assert peer.ended()
    assert peer.session.outcome() == (1002, "node")


def test_a_message_and_bad_text_in_one_burst_are_answered_then_closed_with_1007(peer: Peer) -> None:
    answers = peer.exchange(peer.raw(TEXT, b"last") + peer.raw(TEXT, b"\xff") + peer.raw(TEXT, b"too late"))
    assert answers[0] == ("TEXT", b"last")
    assert answers[1][1][:2] == b"\x03\xef"
    assert len(answers) == 2


def test_bad_text_decides_the_outcome_also_when_a_close_follows_in_the_same_burst(peer: Peer) -> None:
    answers = peer.exchange(peer.raw(TEXT, b"\xff") + peer.raw(CLOSE, b"\x03\xe8"))
    assert [(name, payload[:2]) for name, payload in answers] == [("CLOSE", b"\x03\xef")]
    assert peer.session.outcome() == (1007, "node")


def test_a_ping_a_message_and_a_close_in_one_burst_all_get_their_answer_before_the_close(peer: Peer) -> None:
    answers = peer.exchange(peer.raw(PING, b"p") + peer.raw(TEXT, b"m") + peer.raw(CLOSE, b"\x03\xe8"))
    assert answers == [("PONG", b"p"), ("TEXT", b"m"), ("CLOSE", b"\x03\xe8")]


@pytest.mark.parametrize(
    "data", [b"\x81\x01a", b"\x80\x80abcd", b"\x09\x80abcd", b"\x89\xfe\x00\x7eabcd" + bytes(126)],
    ids=["unmasked", "continuation of nothing", "fragmented ping", "long ping"],
)  # fmt: skip
def test_what_the_rfc_forbids_is_closed_with_1002(peer: Peer, data: bytes) -> None:
    answers = peer.exchange(data)
    assert [(name, payload[:2]) for name, payload in answers] == [("CLOSE", b"\x03\xea")]


def test_a_new_message_within_a_fragmented_one_is_closed_with_1002(peer: Peer) -> None:
    answers = peer.exchange(peer.raw(TEXT, b"a", fin=False) + peer.raw(TEXT, b"b"))
    assert [(name, payload[:2]) for name, payload in answers] == [("CLOSE", b"\x03\xea")]


def test_the_largest_message_passes_and_one_byte_more_is_closed_with_1009() -> None:
    peer = Peer(max_size=300)
    assert peer.exchange(peer.raw(BINARY, bytes(300))) == [("BINARY", bytes(300))]
    answers = peer.exchange(peer.raw(BINARY, bytes(301))[:4])  # by the header alone
    assert [(name, payload[:2]) for name, payload in answers] == [("CLOSE", b"\x03\xf1")]
    assert peer.session.outcome() == (1009, "node")


def test_fragments_that_add_up_to_too_much_are_closed_with_1009() -> None:
    peer = Peer(max_size=300)
    peer.exchange(peer.raw(BINARY, bytes(200), fin=False))
    assert peer.exchange(peer.raw(CONT, bytes(101)))[0][1][:2] == b"\x03\xf1"


def test_a_small_message_that_inflates_to_too_much_is_closed_with_1009() -> None:
    peer = Peer(max_size=300, deflated=True)
    data = peer.raw(BINARY, bytes(3000))
    assert len(data) < 100
    assert peer.exchange(data)[0][1][:2] == b"\x03\xf1"


def test_after_the_node_s_close_messages_are_not_answered(peer: Peer) -> None:
    assert peer.read(peer.session.close(1012, "restart")) == [("CLOSE", b"\x03\xf4restart")]
    assert not peer.is_open()
    assert not peer.ended()
    assert peer.session.receive(peer.raw(TEXT, b"crossed on the way")) == b""
    assert peer.session.receive(peer.outgoing()) == b""
    assert peer.ended()
    assert peer.session.outcome() == (1012, "node")
    assert peer.traffic.messages_in == 0


def test_a_second_close_says_nothing(peer: Peer) -> None:
    peer.session.close(1001, "")
    assert peer.session.close(1012, "") == b""


def test_garbage_after_the_node_s_close_ends_the_session_without_a_second_close_frame(peer: Peer) -> None:
    peer.read(peer.session.close(1001, ""))
    assert peer.session.receive(GARBAGE) == b""
    assert peer.ended()


def test_a_ping_is_owed_a_pong(peer: Peer) -> None:
    assert not peer.owes_pong()
    assert peer.read(peer.session.ping()) == [("PING", b"flux")]
    assert peer.owes_pong()
    assert peer.exchange(peer.raw(TEXT, b"x")) == [("TEXT", b"x")]
    assert peer.owes_pong()
    assert peer.session.receive(peer.outgoing()) == b""
    assert not peer.owes_pong()


def test_a_closing_session_does_not_ping(peer: Peer) -> None:
    peer.session.close(1001, "")
    assert peer.session.ping() == b""
    assert not peer.owes_pong()


def test_outcome_when_the_client_closes_without_a_code(peer: Peer) -> None:
    assert peer.exchange(peer.raw(CLOSE, b""))[0][0] == "CLOSE"
    assert peer.session.outcome() == (1005, "client")


def test_outcome_when_the_client_vanishes(peer: Peer) -> None:
    peer.session.eof()
    assert peer.ended()
    assert peer.session.outcome() == (1006, "client")


def test_outcome_when_the_client_vanishes_after_the_node_s_close(peer: Peer) -> None:
    peer.session.close(1012, "")
    peer.session.eof()
    assert peer.session.outcome() == (1012, "node")


def test_a_stray_pong_is_ignored(peer: Peer) -> None:
    assert peer.exchange(peer.raw(PONG, b"hello")) == []


def test_compressed_messages_need_nothing_of_those_before() -> None:
    """No context takeover: the same message is compressed to the same bytes every time, both ways."""
    peer = Peer(deflated=True)
    text = b"the same again and again " * 20
    first, second = (peer.session.receive(peer.raw(TEXT, text)) for _ in range(2))
    assert first == second
    assert len(first) < len(text)
    assert peer.read(first + second) == [("TEXT", text)] * 2


def test_compressed_fragments_are_answered_as_one_message() -> None:
    peer = Peer(deflated=True)
    text = "grüße ".encode() * 30
    for part, fin in ((text[:3], False), (text[3:], True)):
        (peer.protocol.send_text if not fin else peer.protocol.send_continuation)(part, fin)
    data = peer.outgoing()
    assert [answer for piece in one_by_one(data) for answer in peer.exchange(piece)] == [("TEXT", text)]


def test_traffic_counts_messages_and_payload_bytes_both_ways(peer: Peer) -> None:
    peer.exchange(peer.raw(TEXT, b"abc", fin=False) + peer.raw(PING, b"") + peer.raw(CONT, b"de"))
    peer.exchange(peer.raw(BINARY, b"1234"))
    traffic = peer.traffic
    assert (traffic.messages_in, traffic.bytes_in) == (2, 9)
    assert (traffic.messages_out, traffic.bytes_out) == (2, 9)


def test_a_close_within_a_fragmented_message_is_answered_like_any_other(peer: Peer) -> None:
    answers = peer.exchange(peer.raw(TEXT, b"a", fin=False) + peer.raw(CLOSE, b"\x03\xe8bye"))
    assert answers == [("CLOSE", b"\x03\xe8bye")]
    assert peer.ended()
