"""The connection on which Redis sends what is published. Subscribing thousands takes one packet."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import hiredis
import redis.asyncio

from flux_gateway.broker.commands import pack
from flux_gateway.broker.line import Line
from flux_gateway.broker.link import Link

_AT_ONCE = 1000
"""Channels in one command when all are subscribed again."""


class _Expected(NamedTuple):
    """What Redis has still to confirm."""

    sent_at: float
    channel: str
    confirmed: "asyncio.Future[None] | None"


class Subscriber(Line):
    """Pub/sub channels of Redis. When the connection was lost, all are subscribed again before it is `up`."""

    def __init__(
        self, choose: Callable[[], "redis.asyncio.Redis"], *, timeout: float, changed: Callable[[], None],
        receive: Callable[[bytes, bytes], None],
    ) -> None:  # fmt: skip
        """`receive` is called with channel and message, in the order in which Redis sends them."""
        super().__init__(choose, "subscriptions", timeout=timeout, changed=changed)
        self._take = receive
        self._kept: dict[str, None] = {}
        """Channels that were confirmed: they are subscribed again by themselves."""
        self._fresh: dict[str, asyncio.Future[None]] = {}
        """Channels whose first confirmation is awaited."""
        self._expected: deque[_Expected] = deque()
        """In the order in which Redis will confirm."""

    def keep(self, *channels: str) -> None:
        """Subscribe these whenever there is a connection. To be called before the start."""
        self._kept |= dict.fromkeys(channels)

    def wants(self, channel: str) -> bool:
        """Whether the channel is subscribed, or about to be."""
        return channel in self._kept or channel in self._fresh

    async def subscribe(self, channel: str) -> None:
        """Return when Redis has confirmed. Raises `BrokerUnavailable`; then the channel is not subscribed.

        A caller that is cancelled has to unsubscribe.
        """
        if not self.up:
            raise self.unavailable()
        if channel in self._kept:
            return
        confirmed = self._fresh.get(channel)
        if confirmed is None:
            confirmed = self._fresh[channel] = self._loop.create_future()
            self._command("SUBSCRIBE", channel, confirmed=confirmed)
        # Several may wait for the same one; that one of them goes must not end it.
        await asyncio.shield(confirmed)

    def unsubscribe(self, channel: str) -> None:
        """Hear it no more. Nothing happens if it is not subscribed."""
        fresh = self._fresh.pop(channel, None)
        if channel in self._kept:
            del self._kept[channel]
        elif fresh is None:
            return
        if self._link is not None:
            self._command("UNSUBSCRIBE", channel)

    def _command(self, name: str, *channels: str, confirmed: "asyncio.Future[None] | None" = None) -> None:
        assert self._link is not None
        now = self._loop.time()
        for channel in channels or ("",):
            self._expected.append(_Expected(now, channel, confirmed))
        self._link.write(pack((name, *channels)))

    def _receive(self, replies: list[Any]) -> None:
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                self.fail(str(reply))
                return
            if reply[0] == b"message":
                self._take(reply[1], reply[2])
            elif not self._expected:
                self.fail("an answer that nobody asked for")
                return
            else:
                self._confirm(self._expected.popleft())

    def _confirm(self, expected: _Expected) -> None:
        confirmed = expected.confirmed
        if confirmed is None:
            return
        if self._fresh.get(expected.channel) is confirmed:
            del self._fresh[expected.channel]
            self._kept[expected.channel] = None
        confirmed.set_result(None)

    async def _set_up(self) -> None:
        channels = [*self._kept]
        for first in range(0, len(channels), _AT_ONCE):
            self._command("SUBSCRIBE", *channels[first : first + _AT_ONCE])
        # Confirmed after all of them. It also shows that Redis is there where nothing is subscribed yet.
        answered: asyncio.Future[None] = self._loop.create_future()
        self._command("PING", confirmed=answered)
        await answered

    def _drop(self) -> None:
        expected, self._expected = self._expected, deque()
        self._fresh.clear()
        for one in expected:
            if one.confirmed is not None:
                one.confirmed.set_exception(self.unavailable())
                one.confirmed.exception()  # nobody has to wait for it

    def _waiting_since(self, link: Link) -> float | None:
        # Many confirmations may take long; as long as anything comes, Redis is there.
        return max(self._expected[0].sent_at, link.heard_at) if self._expected else None

    def _ask(self) -> None:
        self._command("PING")
