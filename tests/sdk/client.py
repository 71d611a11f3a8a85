"""What the tests ask of a client, whichever published SDK it is made of, and the events that they wait for.

An event is a dict with its name in `event`, its number in `n`, and
    connecting, disconnected        code, reason
    connected                       client, data
    subscribing, unsubscribed       channel, server, code, reason (the last two only if server is False)
    subscribed                      channel, server, recoverable, positioned, was_recovering, recovered, offset, epoch,
                                    data
    publication                     channel, server, data, offset, info, tags
    join, leave                     channel, server, info
    message                         data
    error                           type, code, message; channel if it is one of a subscription
    token                           channel if it is asked for a subscription: the SDK wants a new one
`server` tells subscriptions that the server made. Payloads are JSON values; with Protobuf `raw` is the text of the
bytes. `info` has user, client, conn_info, chan_info.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]

PATIENCE = 10.0
"""Seconds to wait for what should come at once; two busy cores are slow."""


class CallFailed(Exception):
    """The server, or the SDK itself, answered a call with an error. `code` is the protocol's, 0 if it has none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SdkClient(ABC):
    """A client of a published SDK. Use it as a context manager, or end it with `stop`."""

    protobuf = False

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Make the client, without connecting."""

    @abstractmethod
    def stop(self) -> None:
        """End the client, whatever state it is in; more than once does no harm."""

    @abstractmethod
    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Let the SDK do something, and return its result. Raises `CallFailed`."""

    # What the SDK said.

    def note(self, event: Event) -> None:
        """Add an event; for the drivers, from any thread."""
        with self._news:
            self.events.append({**event, "n": len(self.events)})
            self._news.notify_all()

    @property
    def mark(self) -> int:
        """Number of the next event: give it to `wait` as `after` to overlook what was before."""
        with self._news:
            return len(self.events)

    def wait(
        self,
        name: str,
        *,
        after: int = 0,
        timeout: float = PATIENCE,
        where: Callable[[Event], bool] | None = None,
        **fields: Any,
    ) -> Event:
        """Return the first event of that name, with these fields, for which `where` is true; wait for it if need be."""
        end = time.monotonic() + timeout
        with self._news:
            seen = after
            while True:
                for event in self.events[seen:]:
                    if event["event"] == name and matches(event, fields) and (where is None or where(event)):
                        return event
                seen = max(after, len(self.events))
                left = end - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    said = "\n".join(map(str, self.events[-20:]))
                    raise AssertionError(f"not within {timeout:g} s: {name} {fields}; the last events:\n{said}")

    def seen(self, name: str, *, after: int = 0, **fields: Any) -> list[Event]:
        """Return every event of that name with these fields so far."""
        with self._news:
            return [event for event in self.events[after:] if event["event"] == name and matches(event, fields)]

    def data(self, channel: str, *, after: int = 0) -> list[Any]:
        """Return the payloads of a channel's publications so far, in the order of their events."""
        return [event["data"] for event in self.seen("publication", after=after, channel=channel)]

    # What it is told to do.

    def connect(self) -> Event:
        """Connect, and return the event."""
        mark = self.mark
        self.call("connect")
        return self.wait("connected", after=mark)

    def disconnect(self) -> Event:
        """Disconnect, and return the event."""
        mark = self.mark
        self.call("disconnect")
        return self.wait("disconnected", after=mark)

    def subscribe(self, channel: str, *, tokens: Sequence[str] = (), **options: Any) -> Event:
        """Subscribe, and return the event. Options: `recoverable`, `positioned`, `join_leave`, `data`."""
        mark = self.mark
        self.begin_subscribe(channel, tokens=tokens, **options)
        return self.wait("subscribed", after=mark, channel=channel)

    def begin_subscribe(self, channel: str, *, tokens: Sequence[str] = (), **options: Any) -> None:
        """Subscribe without waiting for what comes of it. A second call resumes where the channel was left."""
        self.call("subscribe", channel=channel, tokens=list(tokens), options=options)

    def unsubscribe(self, channel: str) -> Event:
        """Unsubscribe, and return the event."""
        mark = self.mark
        self.call("unsubscribe", channel=channel)
        return self.wait("unsubscribed", after=mark, channel=channel)

    def publish(self, channel: str, data: Any) -> None:
        """Publish a JSON value, or with Protobuf `{"raw": text}` for a payload to the byte."""
        self.call("publish", channel=channel, data=data)

    def history(self, channel: str, **options: Any) -> dict[str, Any]:
        """Return publications, offset, epoch. Options: `limit`, `since` (offset, epoch), `reverse`."""
        return self.call("history", channel=channel, options=options)

    def presence(self, channel: str) -> dict[str, Any]:
        """Return the info of every client, by its id."""
        clients: dict[str, Any] = self.call("presence", channel=channel)["clients"]
        return clients


def matches(event: Event, fields: dict[str, Any]) -> bool:
    """Tell whether an event has these values."""
    return all(event.get(name) == value for name, value in fields.items())
