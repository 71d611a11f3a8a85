"""Deadlines of many things that all get the same time: one ordered dict instead of one timer each."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Items with a deadline `seconds` after they were added. Adding, discarding and expiring are O(1) an item."""

    __slots__ = ("_due", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # Not a plain dict: that one steps over all that was deleted at its front whenever its first item is asked for.
        self._due: OrderedDict[T, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items, oldest first. Do not change them meanwhile."""
        return iter(self._due)

    def __contains__(self, item: T) -> bool:
        return item in self._due

    def add(self, item: T, now: float) -> None:
        """Start (or restart) the item's time at `now`, a monotonic time in seconds that never goes back."""
        self._due.pop(item, None)
        self._due[item] = now + self.seconds

    def discard(self, item: T) -> None:
        """Forget the item; nothing happens if it is not there."""
        self._due.pop(item, None)

    def expired(self, now: float) -> Iterator[T]:
        """Remove and yield every item whose deadline has passed, oldest first."""
        while self._due:
            item, due = next(iter(self._due.items()))
            if due > now:
                return
            del self._due[item]
            yield item
