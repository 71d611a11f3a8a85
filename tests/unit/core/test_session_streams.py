"""`core.session` under hypothesis: the pieces in which a stream arrives make no difference."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.peer import Peer
from tests.unit.core.support import CUTS, PING, PONG, SOME, one_by_one, pieces

Answers = list[tuple[str, bytes]]

SIZES = st.one_of(st.integers(0, 140), st.sampled_from([0, 125, 126, 127, 3000]))


@st.composite
def actions(draw: st.DrawFn) -> list[tuple[str, bytes, bool]]:
    """What a client does: (opcode name, payload, last fragment)."""
    done: list[tuple[str, bytes, bool]] = []
    for _ in range(draw(st.integers(0, 5))):
        text = draw(st.booleans())
        payload = draw(st.text(max_size=50)).encode() if text else b"\xfe" * draw(SIZES)
        ends = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        parts = [payload[start:end] for start, end in zip([0, *ends], [*ends, len(payload)], strict=True)]
        for number, part in enumerate(parts):
            name = "CONT" if number else "TEXT" if text else "BINARY"
            done.append((name, part, number == len(parts) - 1))
            if draw(st.integers(0, 3)) == 0:
                done.append((draw(st.sampled_from(["PING", "PONG"])), draw(st.binary(max_size=20)), True))
    return done


def stream(peer: Peer, done: list[tuple[str, bytes, bool]], closing: bool) -> bytes:
    """Write the actions with websockets' own client."""
    for name, payload, last in done:
        match name:
            case "TEXT":
                peer.protocol.send_text(payload, last)
            case "BINARY":
                peer.protocol.send_binary(payload, last)
            case "CONT":
                peer.protocol.send_continuation(payload, last)
            case _:
                peer.protocol.writes.append(peer.raw(PING if name == "PING" else PONG, payload))
    if closing:
        peer.protocol.send_close(1000, "bye")
    return peer.outgoing()


def split(answers: Answers) -> tuple[Answers, Answers]:
    """Messages and control frames, each in order: pongs may pass messages of the same burst (RFC 6455, 5.5.3)."""
    return (
        [answer for answer in answers if answer[0] in ("TEXT", "BINARY")],
        [answer for answer in answers if answer[0] not in ("TEXT", "BINARY")],
    )


def answers_to(peer: Peer, chunks: Iterable[bytes]) -> Answers:
    return [answer for chunk in chunks for answer in peer.exchange(chunk)]


def expected(done: list[tuple[str, bytes, bool]], closing: bool) -> tuple[Answers, Answers]:
    messages, control, parts, kind = [], [], b"", ""
    for name, payload, last in done:
        if name == "PING":
            control.append(("PONG", payload))
        elif name != "PONG":
            kind, parts = (kind, parts + payload) if name == "CONT" else (name, payload)
            if last:
                messages.append((kind, parts))
    return messages, control + ([("CLOSE", b"\x03\xe8bye")] if closing else [])


@SOME
@given(actions(), st.booleans(), CUTS, st.booleans())
def test_every_message_is_answered_once_and_in_order_however_the_stream_is_cut(
    done: list[tuple[str, bytes, bool]], closing: bool, cuts: list[int], deflated: bool
) -> None:
    peer = Peer(deflated=deflated)
    answers = answers_to(peer, pieces(stream(peer, done, closing), cuts))
    assert split(answers) == expected(done, closing)
    assert peer.session.ended is closing
    if closing:
        assert answers[-1][0] == "CLOSE"


@SOME
@given(actions(), st.booleans(), CUTS)
def test_without_pings_the_very_bytes_of_the_answers_are_the_same(
    done: list[tuple[str, bytes, bool]], closing: bool, cuts: list[int]
) -> None:
    calm = [action for action in done if action[0] != "PING"]
    data = stream(Peer(), calm, closing)
    whole = Peer().session.receive(data)
    cut, single = Peer().session, Peer().session
    assert b"".join(map(cut.receive, pieces(data, cuts))) == whole
    assert b"".join(map(single.receive, one_by_one(data[:500]))) == Peer().session.receive(data[:500])


@SOME
@given(st.binary(max_size=200), CUTS)
def test_arbitrary_bytes_never_raise_and_their_answers_are_always_a_valid_stream(data: bytes, cuts: list[int]) -> None:
    whole, cut = Peer(), Peer()
    first = split(whole.exchange(data))
    second = split(answers_to(cut, pieces(data, cuts)))
    assert first[0] == second[0]
    assert [payload[:2] for name, payload in first[1] if name == "CLOSE"] == [
        payload[:2] for name, payload in second[1] if name == "CLOSE"
    ]
    assert whole.session.ended == cut.session.ended
