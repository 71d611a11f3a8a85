"""What was published, what each subscriber has seen, and whether the one follows from the other.

Publications carry a number, in the order in which they were begun. Nothing here waits or connects.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


class Violation(AssertionError):
    """Something that must never happen was seen. It need not wait for the end."""


Stream = list[tuple[int, int]]
"""(offset, number) of a stream's entries, in order."""


class Ledger:
    """Publications and streams, for all subscribers."""

    def __init__(self) -> None:
        self.begun = 0
        self.channels: set[str] = set()
        """Those in which something was to be published."""
        self.acknowledged: defaultdict[str, set[int]] = defaultdict(set)
        self.placed: dict[tuple[str, str, int], int] = {}
        """(channel, epoch, offset) -> number: the same for everybody who sees it."""
        self.kept: defaultdict[str, dict[str, Stream]] = defaultdict(dict)
        """By channel and epoch, in the order of the epochs: what the stream held when it was looked at last."""
        self.joined: Counter[tuple[str, str]] = Counter()
        """By (client id, channel): how often the client came in."""
        self.left: Counter[tuple[str, str]] = Counter()

    def begin(self, channel: str) -> int:
        """Return the number of a publication that is about to be made."""
        self.channels.add(channel)
        self.begun += 1
        return self.begun

    def place(self, channel: str, epoch: str, offset: int, number: int) -> None:
        """Somebody has seen a publication at a place. Raises `Violation` when somebody else saw another one there."""
        known = self.placed.setdefault((channel, epoch, offset), number)
        if known != number:
            raise Violation(f"{channel}: at {offset} of {epoch} are both {known} and {number}")

    def keep(self, channel: str, epoch: str, entries: Iterable[tuple[int, int]]) -> None:
        """A stream was read. Entries that have been trimmed since are remembered."""
        merged = dict(self.kept[channel].get(epoch, [])) | dict(entries)
        self.kept[channel][epoch] = sorted(merged.items())

    def missing(self, channel: str) -> set[int]:
        """Return what was published successfully and is in no stream."""
        there = {number for stream in self.kept[channel].values() for _, number in stream}
        return self.acknowledged[channel] - there


class Positioned:
    """One client in one recoverable channel: every offset of an epoch once, in order."""

    def __init__(self, ledger: Ledger, channel: str, who: str, history_size: int) -> None:
        self._ledger, self._channel, self._who, self._size = ledger, channel, who, history_size
        self.position: tuple[int, str] | None = None
        """As the SDK has it: kept over unsubscriptions and disconnects."""

    def request(self) -> dict[str, Any]:
        """Return what a subscribe command says about the position."""
        if self.position is None:
            return {}
        return {"recover": True, "offset": self.position[0], "epoch": self.position[1]}

    def subscribed(self, result: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """The answer to a subscribe command has come."""
        offset, epoch = result.get("offset", 0), result["epoch"]
        if bool(asked) is not result.get("was_recovering", False):
            raise Violation(f"{self._who} in {self._channel}: was_recovering in {result}, asked {asked}")
        if asked and not result.get("recovered"):
            missed = offset - asked["offset"]
            if epoch == asked["epoch"] and 0 <= missed <= self._size:
                raise Violation(f"{self._who} in {self._channel}: {missed} missed and not recovered")
        self.position = (offset, epoch)
        for publication in result.get("publications", []):
            self.published(publication)
        if result.get("recovered") and (offset, epoch) != (asked["offset"], asked["epoch"]):
            raise Violation(f"{self._who} in {self._channel}: recovered at {offset} of {epoch}, asked {asked}")

    def published(self, publication: Mapping[str, Any]) -> None:
        """A publication has come."""
        assert self.position is not None
        offset, epoch = self.position
        came = publication.get("offset", 0)
        if came != offset + 1:
            raise Violation(f"{self._who} in {self._channel}: {came} of {epoch} after {offset}")
        self.position = (came, epoch)
        self._ledger.place(self._channel, epoch, came, publication["data"]["n"])

    def behind(self, active: bool) -> str:
        """Return what is still missing, at the end of everything."""
        epoch, stream = list(self._ledger.kept[self._channel].items())[-1]
        top = stream[-1][0] if stream else 0
        if active and self.position is not None and self.position[1] != epoch:
            return f"{self._who} in {self._channel}: is in epoch {self.position[1]}, the stream in {epoch}"
        if active and self.position is not None and self.position[0] != top:
            return f"{self._who} in {self._channel}: is at {self.position[0]} of {top}"
        return ""


class Segment:
    """What one client got in a channel without history, between an answer to `subscribe` and its end."""

    def __init__(self, start: int) -> None:
        self.start = start
        """Publications with this number or a higher one were begun when the client was in."""
        self.seen: list[int] = []
        self.active = True
        self.shaken = False
        """Redis has lost its data meanwhile: so may have been publications on their way."""


class Plain:
    """One client in a channel without history: while it is in, all of the stream, in its order."""

    def __init__(self, ledger: Ledger, channel: str, who: str) -> None:
        self._ledger, self._channel, self._who = ledger, channel, who
        self.segments: list[Segment] = []

    def request(self) -> dict[str, Any]:
        """Return what a subscribe command says about the position."""
        return {}

    def subscribed(self, result: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """The answer to a subscribe command has come."""
        self.ended()
        if result.get("recoverable") or result.get("epoch"):
            raise Violation(f"{self._who} in {self._channel}: {result}")
        self.segments.append(Segment(self._ledger.begun + 1))

    def published(self, publication: Mapping[str, Any]) -> None:
        """A publication has come."""
        segment, number = self.segments[-1], publication["data"]["n"]
        if not segment.active:
            raise Violation(f"{self._who} in {self._channel}: {number} came though it is not in")
        if number in segment.seen:
            raise Violation(f"{self._who} in {self._channel}: {number} came twice")
        if publication.get("offset"):
            raise Violation(f"{self._who} in {self._channel}: {number} came with an offset")
        segment.seen.append(number)

    def ended(self) -> None:
        """The client is not in any more."""
        if self.segments:
            self.segments[-1].active = False

    def shaken(self) -> None:
        """Redis has lost its data."""
        if self.segments:
            self.segments[-1].shaken = True

    def behind(self, active: bool) -> str:
        """Return what is wrong or missing, at the end of everything."""
        streams = self._ledger.kept[self._channel]
        for segment in self.segments:
            for epoch, stream in streams.items():
                fault = self._compare(segment, [number for _, number in stream], epoch)
                if fault:
                    return f"{self._who} in {self._channel}: {fault}"
            known = {number for stream in streams.values() for _, number in stream}
            if (unknown := set(segment.seen) - known) and not segment.shaken:
                return f"{self._who} in {self._channel}: {sorted(unknown)} are in no stream"
        return ""

    def _compare(self, segment: Segment, stream: list[int], epoch: str) -> str:
        seen = [number for number in segment.seen if number in set(stream)]
        if not segment.active and not seen:
            return ""
        wanted = [number for number in stream if number >= segment.start]
        first = stream.index(seen[0]) if seen else len(stream)
        last = stream.index(seen[-1]) if seen else -1
        if not segment.active:
            wanted = [number for number in wanted if stream.index(number) <= last]
        expected = [
            number for at, number in enumerate(stream) if (at >= first and (at <= last or segment.active))
            or number in wanted
        ]  # fmt: skip
        if segment.shaken:
            # What was on its way when Redis lost its data may be lost: but neither doubled nor in another order.
            expected = [number for number in expected if number in seen]
        if seen != expected:
            return f"of {epoch} came {seen}, not {expected}"
        return ""
