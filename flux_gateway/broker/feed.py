"""One connection to a Redis of a cluster on which it sends what is published, plain or sharded.

Unlike those of a single Redis, answers do not come in the order of the questions: a master that loses a slot ends the
sharded subscriptions to its channels unasked. So answers are told apart by the channel they name.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import hiredis
import redis.asyncio

from flux_gateway.broker.commands import pack
from flux_gateway.broker.line import Line
from flux_gateway.broker.link import Link

_AT_ONCE = 1000
"""Channels in one command when all are subscribed again; those of one sharded command had to be of one slot."""


class Owner(Protocol):
    """Who is told what becomes of channels."""

    def heard(self, channel: bytes, data: bytes) -> None:
        """Something was published."""

    def confirmed(self, feed: "Feed", channel: str) -> None:
        """The channel is subscribed."""

    def ended(self, feed: "Feed", channel: str) -> None:
        """The channel was subscribed, and Redis has ended that unasked: its slot is elsewhere now."""

    def elsewhere(self, feed: "Feed", error: str) -> bool:
        """Redis has no such slot: `MOVED ...`. False for another error, which is not understood."""

    def dropped(self, feed: "Feed", channels: Iterable[str]) -> None:
        """The connection is gone before these were confirmed. Those still wanted are tried on the next one."""

    def changed(self) -> None:
        """Some feed's `up` has changed."""


class Feed(Line):
    """The channels that are heard at one Redis. They are subscribed again before it is `up` again."""

    def __init__(
        self, choose: "Callable[[], redis.asyncio.Redis]", name: str, owner: Owner, *, sharded: bool, timeout: float
    ) -> None:
        super().__init__(choose, name, timeout=timeout, changed=owner.changed)
        self._owner = owner
        prefix = "s" if sharded else ""
        self._on, self._off = f"{prefix}subscribe", f"{prefix}unsubscribe"
        self._message = f"{prefix}message".encode()
        self._at_once = 1 if sharded else _AT_ONCE
        self._wanted: dict[str, None] = {}
        self._asked: dict[str, tuple[float, int]] = {}
        """Channel -> since when, and how many, confirmations of it are to come."""
        self._pings: deque[tuple[float, Any]] = deque()
        """Since when an answer to PING is to come, and the future that waits for it, or None."""

    def subscribe(self, *channels: str) -> None:
        """Hear these from now on: now, if it is connected, and whenever it is."""
        self._wanted |= dict.fromkeys(channels)
        self._ask_for(channels)

    def unsubscribe(self, channel: str) -> None:
        """Hear it no more. Nothing happens if it is not wanted."""
        if channel in self._wanted:
            del self._wanted[channel]
            if self._link is not None:
                self._link.write(pack((self._off, channel)))

    def forget(self, channel: str) -> None:
        """The channel is not subscribed here, and cannot be: no confirmation of it will come."""
        self._wanted.pop(channel, None)
        self._asked.pop(channel, None)

    def _ask_for(self, channels: Iterable[str]) -> None:
        if self._link is None:
            return
        now, names = self._loop.time(), [*channels]
        for name in names:
            since, count = self._asked.get(name, (now, 0))
            self._asked[name] = (since, count + 1)
        for first in range(0, len(names), self._at_once):
            self._link.write(pack((self._on, *names[first : first + self._at_once])))

    def _receive(self, replies: list[Any]) -> None:
        on, off = self._on.encode(), self._off.encode()
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                if not self._owner.elsewhere(self, str(reply)):
                    self.fail(str(reply))
                    return
            elif not isinstance(reply, list) or reply[0] == b"pong":
                if not self._pings:
                    self.fail("an answer that nobody asked for")
                    return
                _, answered = self._pings.popleft()
                if answered is not None and not answered.done():
                    answered.set_result(None)
            elif reply[0] == self._message:
                self._owner.heard(reply[1], reply[2])
            elif reply[0] == on:
                self._confirm(reply[1].decode())
            elif reply[0] == off:
                channel = reply[1].decode()
                # With a confirmation to come it is the answer to an earlier question.
                if channel in self._wanted and channel not in self._asked:
                    self._owner.ended(self, channel)

    def _confirm(self, channel: str) -> None:
        since, count = self._asked.pop(channel, (0.0, 1))
        if count > 1:
            self._asked[channel] = (since, count - 1)
        elif channel in self._wanted:
            self._owner.confirmed(self, channel)

    async def _set_up(self) -> None:
        self._ask_for(self._wanted)
        # Answered after all of them. It also shows that Redis is there where nothing is subscribed yet.
        answered = self._loop.create_future()
        self._ping(answered)
        await answered

    def _ping(self, answered: Any = None) -> None:
        assert self._link is not None
        self._pings.append((self._loop.time(), answered))
        self._link.write(pack(("PING",)))

    def _drop(self) -> None:
        pings, self._pings = self._pings, deque()
        for _, answered in pings:
            if answered is not None and not answered.done():
                answered.set_exception(self.unavailable())
                answered.exception()  # nobody has to wait for it
        asked, self._asked = self._asked, {}
        self._owner.dropped(self, asked)

    def _waiting_since(self, link: Link) -> float | None:
        if not self._pings and not self._asked:
            return None
        since = self._pings[0][0] if self._pings else next(iter(self._asked.values()))[0]
        # Many confirmations may take long; as long as anything comes, Redis is there.
        return max(since, link.heard_at)

    def _ask(self) -> None:
        self._ping()
