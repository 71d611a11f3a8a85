"""How many slots each node has. Counting takes a second or so at 100 nodes, so it has a thread of its own."""

import threading
from collections.abc import Mapping

from flux_gateway.core.slots import Slots


class ShareCounter:
    """Counts the slots of the newest membership it was asked about, and remembers the result."""

    def __init__(self) -> None:
        self._asked = threading.Condition()
        self._wanted: dict[str, float] | None = None
        self._counted: dict[str, float] | None = None
        self._shares: dict[str, float] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="shares", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def shares(self, weights: Mapping[str, float]) -> dict[str, float] | None:
        """Return the part of the slots, 0 to 1, of each node as last counted; None when there is no count yet.

        If that count was for other weights, one for these is started.
        """
        with self._asked:
            if weights not in (self._counted, self._wanted):
                self._wanted = dict(weights)
                self._asked.notify()
            return self._shares

    def close(self) -> None:
        """Stop the thread after the count it is at."""
        with self._asked:
            self._closed = True
            self._asked.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        slots = Slots()
        while True:
            with self._asked:
                self._asked.wait_for(lambda: self._closed or self._wanted is not None)
                if self._closed:
                    return
                weights = dict(self._wanted or {})
            slots.assign(weights)
            shares = slots.shares()
            with self._asked:
                self._shares, self._counted = shares, weights
                if self._wanted == weights:
                    self._wanted = None
