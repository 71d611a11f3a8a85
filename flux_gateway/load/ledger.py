"""Accounting of numbered messages: which came back, once, in order, intact. Pure.

At every moment, and for any order of events: `sent == received + missing + lost + unanswered + in flight`.
"""


class Tally:
    """The sums over all clients of a run."""

    __slots__ = ("corrupt", "doubled", "lost", "missing", "overtaken", "received", "reordered", "sent", "unanswered")

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        """Messages that came back, each counted once."""
        self.missing = 0
        """Overtaken by a later number of an open connection: lost, unless they still come (then reordered)."""
        self.overtaken = 0
        """When the oldest of those was sent that became missing since somebody last set this to 0."""
        self.lost = 0
        """Will not come any more: missing when the connection ended, or no answer after the grace period."""
        self.doubled = 0
        self.reordered = 0
        """Came after a later number."""
        self.corrupt = 0
        """Came back other than sent, or was never sent here."""
        self.unanswered = 0
        """In flight when the connection ended: nobody can know whether they arrived."""


class Ledger:
    """One client's messages. Numbers go on over reconnects, so that an answer is never taken for another's.

    Times are opaque integers that no two messages of a run share: they prove that an answer is to *this* message, so
    streams crossed by a proxy show as corrupt.
    """

    __slots__ = ("_first", "_tally", "expected", "next", "pending")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._first = 0
        """The first number of the present connection."""
        self.expected = 0
        """One past the highest number that came back."""
        self.next = 0
        """The number of the next message."""
        self.pending: dict[int, int] = {}
        """Send time by number of what has not come back on this connection, lowest number first."""

    def send(self, now: int) -> None:
        """Note that the message `next` was sent at `now`."""
        number = self.next
        self.pending[number] = now
        self.next = number + 1
        self._tally.sent += 1

    def answer(self, number: int, sent_at: int, intact: bool) -> bool:
        """Note a message that came back. Return True if it is the first answer to a message of this connection."""
        known = self.pending.pop(number, None)
        if known != sent_at:
            self._odd(number, known)
            return False
        tally = self._tally
        tally.received += 1
        expected = self.expected
        if number >= expected:
            self.expected = number + 1
            if number > expected:
                tally.missing += number - expected
                # Until now the client has waited for this one.
                waited = self.pending[expected]
                tally.overtaken = min(tally.overtaken or waited, waited)
        else:
            tally.reordered += 1
            tally.missing -= 1
        if not intact:
            tally.corrupt += 1
        return True

    def _odd(self, number: int, known: int | None) -> None:
        if known is not None:  # the number of a message in flight, but not that message: it may still come
            self.pending[number] = known
            self.pending = dict(sorted(self.pending.items()))
            self._tally.corrupt += 1
        elif self._first <= number < self.next:
            self._tally.doubled += 1
        else:
            self._tally.corrupt += 1

    def reject(self) -> None:
        """Note something that came and cannot be the answer to any message."""
        self._tally.corrupt += 1

    def cut(self) -> None:
        """The connection has ended by itself: what was overtaken is lost, what was in flight stays unanswered."""
        gaps = self._close_gaps()
        self._tally.unanswered += len(self.pending) - gaps
        self._restart()

    def settle(self) -> None:
        """The grace period is over and the connection is open: what has not come back is lost."""
        gaps = self._close_gaps()
        self._tally.lost += len(self.pending) - gaps
        self._restart()

    def _close_gaps(self) -> int:
        gaps = sum(number < self.expected for number in self.pending)
        self._tally.missing -= gaps
        self._tally.lost += gaps
        return gaps

    def _restart(self) -> None:
        self.pending.clear()
        self._first = self.expected = self.next

    def oldest(self) -> int | None:
        """Return the send time of the longest waiting message that has not been overtaken, None if there is none."""
        for number, sent_at in self.pending.items():
            if number >= self.expected:
                return sent_at
        return None
