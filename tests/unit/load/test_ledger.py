"""`load.ledger`: every fate of a message, and the balance that must hold after any history."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.load.ledger import Ledger, Tally


def figures(tally: Tally) -> dict[str, int]:
    """The counts that are not zero."""
    counts = [name for name in Tally.__slots__ if name != "overtaken"]
    return {name: getattr(tally, name) for name in counts if getattr(tally, name)}


def sent(count: int) -> tuple[Tally, Ledger]:
    """A ledger with messages 0 .. count-1 in flight, number n sent at 100 + n."""
    tally = Tally()
    ledger = Ledger(tally)
    for number in range(count):
        ledger.send(100 + number)
    return tally, ledger


def came(ledger: Ledger, *numbers: int) -> list[bool]:
    return [ledger.answer(number, 100 + number, True) for number in numbers]


def test_answers_in_order_are_received() -> None:
    tally, ledger = sent(3)
    assert came(ledger, 0, 1, 2) == [True, True, True]
    assert figures(tally) == {"sent": 3, "received": 3}
    assert ledger.oldest() is None


def test_an_overtaken_message_is_missing_until_it_comes_late() -> None:
    tally, ledger = sent(4)
    came(ledger, 0, 3)
    assert figures(tally) == {"sent": 4, "received": 2, "missing": 2}
    assert came(ledger, 2) == [True]
    assert figures(tally) == {"sent": 4, "received": 3, "missing": 1, "reordered": 1}
    ledger.settle()
    assert figures(tally) == {"sent": 4, "received": 3, "lost": 1, "reordered": 1}


def test_it_tells_since_when_the_oldest_overtaken_message_was_waited_for() -> None:
    tally, ledger = sent(6)
    came(ledger, 0)
    assert tally.overtaken == 0
    came(ledger, 3)
    assert tally.overtaken == 101
    came(ledger, 5)
    assert tally.overtaken == 101  # nobody has looked since
    tally.overtaken = 0
    came(ledger, 4, 1)
    assert tally.overtaken == 0


def test_a_swap_is_one_reordered_message() -> None:
    tally, ledger = sent(2)
    came(ledger, 1, 0)
    assert figures(tally) == {"sent": 2, "received": 2, "reordered": 1}


def test_a_second_answer_is_doubled_not_received() -> None:
    tally, ledger = sent(2)
    assert came(ledger, 0, 0, 1, 0) == [True, False, True, False]
    assert figures(tally) == {"sent": 2, "received": 2, "doubled": 2}


def test_a_late_message_that_comes_twice_is_reordered_and_doubled() -> None:
    tally, ledger = sent(2)
    came(ledger, 1, 0, 0)
    assert figures(tally) == {"sent": 2, "received": 2, "reordered": 1, "doubled": 1}


def test_wrong_content_came_back_but_corrupt() -> None:
    tally, ledger = sent(1)
    assert ledger.answer(0, 100, False)
    assert figures(tally) == {"sent": 1, "received": 1, "corrupt": 1}


def test_an_answer_to_somebody_elses_message_is_corrupt_and_ours_still_comes() -> None:
    tally, ledger = sent(3)
    assert not ledger.answer(1, 999, True)
    assert figures(tally) == {"sent": 3, "corrupt": 1}
    assert ledger.oldest() == 100
    assert came(ledger, 0, 1, 2) == [True, True, True]
    assert figures(tally) == {"sent": 3, "received": 3, "corrupt": 1}


def test_a_number_never_sent_is_corrupt() -> None:
    tally, ledger = sent(1)
    came(ledger, 1)
    came(ledger, 1 << 60)
    assert figures(tally) == {"sent": 1, "corrupt": 2}


def test_when_the_connection_ends_gaps_are_lost_and_flight_is_unanswered() -> None:
    tally, ledger = sent(5)
    came(ledger, 0, 2)
    ledger.cut()
    assert figures(tally) == {"sent": 5, "received": 2, "lost": 1, "unanswered": 2}


def test_after_a_reconnect_numbers_go_on_and_old_answers_are_corrupt() -> None:
    tally, ledger = sent(2)
    ledger.cut()
    ledger.send(102)
    came(ledger, 1)
    assert figures(tally) == {"sent": 3, "unanswered": 2, "corrupt": 1}
    came(ledger, 2)
    assert figures(tally) == {"sent": 3, "received": 1, "unanswered": 2, "corrupt": 1}


def test_after_the_grace_period_everything_outstanding_is_lost() -> None:
    tally, ledger = sent(4)
    came(ledger, 0, 2)
    ledger.settle()
    assert figures(tally) == {"sent": 4, "received": 2, "lost": 2}


def test_the_oldest_is_the_longest_waiting_that_was_not_overtaken() -> None:
    _, ledger = sent(4)
    assert ledger.oldest() == 100
    came(ledger, 1)
    assert ledger.oldest() == 102


actions = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 12)),
        st.tuples(st.just("foreign"), st.integers(0, 12)),
        st.tuples(st.just("cut"), st.just(0)),
    ),
    max_size=60,
)


@given(actions)
def test_the_balance_holds_after_any_history(history: list[tuple[str, Any]]) -> None:
    tally = Tally()
    ledger = Ledger(tally)
    came_back: set[int] = set()
    calls = 0
    for kind, number in history:
        if kind == "send":
            ledger.send(1000 + ledger.next)
        elif kind == "cut":
            ledger.cut()
        else:
            calls += 1
            first = ledger.answer(number, 1000 + number if kind == "answer" else -1, True)
            assert not (first and number in came_back)  # never received twice
            if first:
                came_back.add(number)
        in_flight = sum(number >= ledger.expected for number in ledger.pending)
        gone = tally.lost + tally.missing + tally.unanswered
        assert tally.sent == tally.received + gone + in_flight
        assert tally.received == len(came_back)
        assert calls == tally.received + tally.doubled + tally.corrupt  # every answer is accounted for once
        assert tally.missing == len(ledger.pending) - in_flight
        assert list(ledger.pending) == sorted(ledger.pending)
        assert min(getattr(tally, name) for name in Tally.__slots__) >= 0
    ledger.settle()
    assert tally.missing == 0
    assert tally.sent == tally.received + tally.lost + tally.unanswered
