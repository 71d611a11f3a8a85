"""Every channel that is heard on this node, and their common connection to the broker.

One Redis subscription per channel, however many hear it here. What comes in one turn of the loop goes out together at
its end. When the connection to Redis was broken, each channel's position is compared with its stream afterwards.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from flux_gateway.broker.broker import Broker
from flux_gateway.broker.events import Event
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.core.session import Traffic
from flux_gateway.gateway.messaging.channels.channel import Channel, Outgoing
from flux_gateway.gateway.messaging.channels.retention import Retention
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import Publication
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

T = TypeVar("T")

_CHECKED_AT_ONCE = 500
"""Positions asked for in one go."""

_GRACE = 1.0
"""Seconds for what was published before a check to arrive by its usual way."""


class Hub:
    """Opens a channel with its first subscriber and closes it with its last."""

    def __init__(
        self,
        broker: Broker,
        traffic: Traffic,
        retention: Callable[[Namespace], Retention],
        start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """`start` runs a coroutine in a task that is owned."""
        self.traffic = traffic
        self.channels: dict[str, Channel] = {}
        self._broker = broker
        self._retention = retention
        self._start = start
        self._changed: dict[Channel, None] = {}
        self._back = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        broker.on_event = self._take

    # What comes from Redis.

    def _take(self, name: str, event: Event) -> None:
        channel = self.channels.get(name)
        if channel is not None:
            channel.take(event)

    def changed(self, channel: Channel) -> None:
        """Deliver the channel's batch at the end of this turn of the loop."""
        if not self._changed:
            self._loop.call_soon(self._deliver)
        self._changed[channel] = None

    def _deliver(self) -> None:
        changed, self._changed = [*self._changed], {}
        if len(changed) == 1:
            changed[0].deliver()
            return
        outgoing: Outgoing = defaultdict(list)
        for channel in changed:
            channel.deliver(outgoing)
        for connection, frames in outgoing.items():
            connection.send(b"".join(frames))

    def refill(self, channel: Channel) -> None:
        """Read from the channel's stream what did not come by itself."""
        channel.work = self._start(self._refill(channel), f"refill {channel.name}")

    def _alive(self, channel: Channel) -> bool:
        return self.channels.get(channel.name) is channel

    async def _refill(self, channel: Channel) -> None:
        position, publications = await self.read(channel, Position(channel.offset, channel.epoch))
        if self._alive(channel):
            channel.found(position, publications)

    async def read(self, channel: Channel, since: Position) -> tuple[Position, list[Publication]]:
        """Return where the channel's stream is, and what it holds after `since`; all of it if it is another stream.

        Waits for Redis as long as it does not answer.
        """
        meta_ttl = self._retention(channel.rules).meta_ttl
        history = partial(self._broker.history, channel.name, limit=-1, meta_ttl=meta_ttl)
        read = await self.patiently(partial(history, since=since))
        if read.position.epoch != since.epoch:
            read = await self.patiently(partial(history, since=None))
        return read.position, list(read.publications)

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask Redis until it answers."""
        while True:
            try:
                return await ask()
            except BrokerUnavailable:
                await self._until_back()

    # Opening and closing.

    async def join(self, subscription: Subscription, *, patient: bool = False) -> Channel:
        """Collect for this subscription, and return its channel when its position is known.

        Raises `BrokerUnavailable` when Redis does not answer, unless `patient`: then it waits for it. The caller then
        lets the subscription go `live`, or `leave`, also after an exception.
        """
        if not patient and not self._broker.available:
            raise BrokerUnavailable("Redis does not answer")
        channel = self.channels.get(subscription.channel)
        if channel is None:
            channel = self.channels[subscription.channel] = Channel(self, subscription.channel, subscription.rules)
            channel.work = self._start(self._open(channel), f"open {channel.name}")
        channel.join(subscription)
        while not channel.known:
            known: asyncio.Future[None] = self._loop.create_future()
            channel.waiters.append(known)
            try:
                await known
            except BrokerUnavailable:
                if not patient:
                    raise
        return channel

    async def _open(self, channel: Channel) -> None:
        kept = self._retention(channel.rules)
        while self._alive(channel):
            failure: BrokerUnavailable | None = None
            try:
                await self._broker.subscribe(channel.name)
                read = await self._broker.history(channel.name, since=None, limit=0, meta_ttl=kept.meta_ttl)
                if not self._alive(channel):
                    return
                channel.found(read.position, [])
            except BrokerUnavailable as error:
                failure = error
            waiters, channel.waiters = channel.waiters, []
            for waiter in waiters:
                if waiter.done():
                    continue
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(failure)
            if failure is None:
                return
            await self._until_back()

    async def _until_back(self) -> None:
        self._back.clear()
        if self._broker.available:
            # It is back already, or that one call took too long: not again at once.
            await asyncio.sleep(_GRACE)
        else:
            await self._back.wait()

    def live(self, subscription: Subscription, position: Position) -> None:
        """The client has been told everything up to `position`; it may have left meanwhile."""
        channel = self.channels.get(subscription.channel)
        if channel is not None and subscription in channel.joining:
            subscription.resume = None
            channel.live(subscription, position)

    def position(self, subscription: Subscription) -> Position:
        """Return how far the client has been served in the channel."""
        channel = self.channels.get(subscription.channel)
        return subscription.resume or (channel.position(subscription) if channel else Position(0, ""))

    def leave(self, subscription: Subscription) -> None:
        """The subscription is over; nothing happens if it was not here."""
        channel = self.channels.get(subscription.channel)
        if channel is None:
            return
        channel.leave(subscription)
        if not channel.occupied:
            del self.channels[channel.name]
            for pending in (channel.work, *channel.waiters):
                if pending is not None:
                    pending.cancel()
            self._changed.pop(channel, None)
            self._broker.unsubscribe(channel.name)

    # Whether anything got lost on the way.

    def on_back(self) -> None:
        """The broker is available again, and every channel is subscribed: see what was missed."""
        self._back.set()
        self._start(self.check(0.0), "check every channel")

    async def check(self, grace: float = _GRACE) -> None:
        """Compare each channel's position with its stream, and read what is missing."""
        for first in range(0, len(channels := [one for one in self.channels.values() if one.known]), _CHECKED_AT_ONCE):
            part = channels[first : first + _CHECKED_AT_ONCE]
            known = [Position(one.offset, one.epoch) for one in part]
            try:
                ttls = [self._retention(one.rules).meta_ttl for one in part]
                positions = await self._broker.positions([one.name for one in part], ttls)
                for one, here, top in zip(part, known, positions, strict=True):
                    if top is not None and top.epoch == here.epoch and top.offset < here.offset:
                        # A replica took over that lacked the last publications: it would count them a second time.
                        await self._broker.renew(one.name, here)
            except BrokerUnavailable:
                return  # at its return everything is checked
            if grace:
                await asyncio.sleep(grace)
            # Without a position in Redis there was no publication for long, or Redis has lost everything: then a refill
            # makes a new epoch.
            missing = [
                one
                for one, here, top in zip(part, known, positions, strict=True)
                if top is None or top.epoch != one.epoch or top.offset > one.offset or top.offset < here.offset
            ]
            if missing:
                log.warning("publications did not arrive", extra=fields(channels=len(missing)))
            for channel in missing:
                if channel.waiting is None and self._alive(channel):
                    channel.waiting = []
                    self.refill(channel)
