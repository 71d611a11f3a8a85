"""Clients that talk in one channel while something is done to the cluster, and what must hold of what they saw."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from tests.processes import until
from tests.sdk.client import CallFailed, SdkClient

PAUSE = 0.1
"""Seconds between two messages of one client."""

END = "end"


class Conversation:
    """Each client says `[its number, the number of its message]`, and hears everybody.

    The clients are subscribed already. At the end of the `with` block everybody has heard what was acknowledged.
    """

    def __init__(self, clients: Sequence[SdkClient], channel: str) -> None:
        self.clients, self.channel = clients, channel
        self.said: list[list[Any]] = []
        """Messages the server has acknowledged."""
        self.refused: list[tuple[list[Any], CallFailed]] = []
        """Messages of which the sender does not know whether they were published, and what it was told."""
        self._marks = [client.mark for client in clients]
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._talk, args=(number,), daemon=True) for number in range(len(clients))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        if kind is None:
            self.clients[0].publish(self.channel, END)
            for client, mark in zip(self.clients, self._marks, strict=True):
                client.wait("publication", after=mark, channel=self.channel, data=END, timeout=20)

    def _talk(self, number: int) -> None:
        count = 0
        while not self._over.wait(PAUSE):
            message = [number, count]
            count += 1
            try:
                self.clients[number].publish(self.channel, message)
            except CallFailed as error:
                with self._lock:
                    self.refused.append((message, error))
            else:
                with self._lock:
                    self.said.append(message)

    def goes_on(self, messages: int = 20) -> None:
        """Wait until so many more messages are acknowledged."""
        aim = len(self.said) + messages
        until(lambda: len(self.said) >= aim, "they go on talking", 20)

    # What must hold.

    def heard(self, number: int) -> list[Any]:
        """Return what a client has heard."""
        return self.clients[number].data(self.channel, after=self._marks[number])

    def nobody_noticed(self) -> None:
        """No SDK has told its program of a lost connection."""
        noticed = [
            (number, event)
            for number, (client, mark) in enumerate(zip(self.clients, self._marks, strict=True))
            for name in ("disconnected", "connecting")
            for event in client.seen(name, after=mark)
        ]
        assert noticed == [], noticed

    def all_heard_all(self) -> None:
        """Everybody has heard the same, in the same order, each message once, none of those acknowledged missing."""
        first = self.heard(0)
        assert [self.heard(number) for number in range(1, len(self.clients))] == [first] * (len(self.clients) - 1)
        said = [message for message in first if isinstance(message, list)]  # others may speak there, too
        assert len({tuple(message) for message in said}) == len(said), "something came twice"
        missing = [message for message in self.said if message not in said]
        assert missing == [], missing
        refused = [message for message, _ in self.refused]
        invented = [message for message in said if message not in self.said and message not in refused]
        assert invented == [], invented
        for number in range(len(self.clients)):
            counts = [count for speaker, count in said if speaker == number]
            assert counts == sorted(counts), f"client {number} was heard out of order"

    def offsets_have_no_hole(self) -> None:
        """Each client has got every offset once, in order."""
        for client, mark in zip(self.clients, self._marks, strict=True):
            offsets = [event["offset"] for event in client.seen("publication", after=mark, channel=self.channel)]
            assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
