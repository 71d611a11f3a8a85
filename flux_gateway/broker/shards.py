"""Channels of a Redis Cluster: each is heard where its slot is, and goes along when the slot moves.

A master with sharded pub/sub tells only its own hearers what is published in its slots, so that there is a connection
to each of them. What older masters publish is delivered everywhere and comes on one further connection, as does what
nodes tell each other. Which of the two it is follows from the channel's master alone, for publishers as for hearers:
a cluster may have masters of both kinds.

While a slot moves, publications in its channels are made at the new master as soon as their keys are there, but heard
there only when the slot is, too. So a channel that has moved is reported: something may have been missed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import redis.asyncio
from redis.crc import key_slot

from flux_gateway.broker.cluster import ClusterPipes
from flux_gateway.broker.feed import Feed
from flux_gateway.broker.slots import Address, parse_redirection
from flux_gateway.core.errors import BrokerUnavailable

_MOST_HOPS = 5
"""Masters that name another one for a slot, in a row, until only the map of slots is believed."""


class _Slot:
    """A slot of which channels are heard."""

    __slots__ = ("astray", "channels", "feed", "hops")

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.channels: dict[str, None] = {}
        self.astray = False
        """It is not where it is looked for."""
        self.hops = 0


class Shards:
    """Stands where a `Subscriber` stands. It is `up` while every channel can be heard."""

    def __init__(
        self, pipes: ClusterPipes, *, timeout: float, changed: Callable[[], None],
        receive: Callable[[bytes, bytes], None], gap: Callable[[list[str]], None],
    ) -> None:  # fmt: skip
        """`receive` is called with channel and message; `gap` with channels that are heard again after a move."""
        self.heard = receive
        self._pipes = pipes
        self._timeout = timeout
        self._changed = changed
        self._gap = gap
        self._loop = asyncio.get_running_loop()
        self._plain = Feed(self._choose, "subscriptions", self, sharded=False, timeout=timeout)
        self._plain_at: Address | None = None
        self._feeds: dict[Address, Feed] = {}
        self._slots: dict[int, _Slot] = {}
        self._pending: dict[str, asyncio.Future[None]] = {}
        """Channels that are not confirmed where they are looked for."""
        self._again: set[str] = set()
        """Those among them that were heard before: they are not given up."""
        self._missed: list[str] = []
        self._works: set[asyncio.Task[None]] = set()
        self._closed = False
        self.up = False
        pipes.remapped = self._follow

    def keep(self, *channels: str) -> None:
        """Hear these, which have no slot, whenever there is a connection. To be called before the start."""
        self._plain.subscribe(*channels)

    async def start(self) -> None:
        """Connect. Returns after the first try, whatever came of it. The map of slots should be known by then."""
        await self._plain.start()
        await asyncio.gather(*(feed.tried() for feed in self._feeds.values()))

    async def close(self) -> None:
        """End all connections for good."""
        self._closed = True
        await asyncio.gather(*(feed.close() for feed in (self._plain, *self._feeds.values())), *self._works)

    def wants(self, channel: str) -> bool:
        """Whether the channel is subscribed, or about to be."""
        slot = self._slots.get(_number(channel))
        return slot is not None and channel in slot.channels

    def sharded(self, channel: str) -> bool:
        """Whether only those who are connected to the channel's master hear it."""
        place = self._pipes.place(_number(channel))
        return place is not None and place.sharded

    async def subscribe(self, channel: str) -> None:
        """Return when Redis has confirmed. Raises `BrokerUnavailable`; then the channel is not subscribed.

        If it was before, it stays so. A caller that is cancelled has to unsubscribe.
        """
        number = _number(channel)
        slot = self._slots.get(number)
        feed = slot.feed if slot is not None else self._find(number)
        if feed is None:
            raise BrokerUnavailable("Redis does not answer: nobody is known to have this slot of the cluster")
        if not feed.up:
            raise feed.unavailable()
        if slot is None:
            slot = self._slots[number] = _Slot(feed)
        if slot.astray:
            raise _under_way()
        if channel not in slot.channels:
            slot.channels[channel] = None
            self._pending[channel] = self._loop.create_future()
            feed.subscribe(channel)
        confirmed = self._pending.get(channel)
        if confirmed is not None:
            # Several may wait for the same one; that one of them goes must not end it.
            await asyncio.shield(confirmed)

    def unsubscribe(self, channel: str) -> None:
        """Hear it no more. Nothing happens if it is not subscribed."""
        slot = self._slots.get(_number(channel))
        if slot is not None and channel in slot.channels:
            slot.feed.unsubscribe(channel)
            confirmed = self._remove(slot, channel)
            if confirmed is not None:
                confirmed.set_result(None)

    def _remove(self, slot: _Slot, channel: str) -> "asyncio.Future[None] | None":
        del slot.channels[channel]
        if not slot.channels:
            del self._slots[_number(channel)]
        self._again.discard(channel)
        return self._pending.pop(channel, None)

    # What the feeds tell.

    def confirmed(self, feed: Feed, channel: str) -> None:
        """See `feed.Owner`."""
        slot = self._slots.get(_number(channel))
        confirmed = self._pending.get(channel)
        if slot is None or slot.feed is not feed or confirmed is None:
            return
        slot.hops = 0
        del self._pending[channel]
        confirmed.set_result(None)
        if channel in self._again:
            self._again.discard(channel)
            if not self._missed:
                self._loop.call_soon(self._report)
            self._missed.append(channel)

    def _report(self) -> None:
        missed, self._missed = self._missed, []
        self._gap(missed)

    def ended(self, feed: Feed, channel: str) -> None:
        """See `feed.Owner`."""
        slot = self._slots.get(_number(channel))
        if slot is not None and slot.feed is feed and channel in slot.channels:
            self._look_for(channel)
            # It will say who has the slot now.
            feed.subscribe(channel)

    def elsewhere(self, feed: Feed, error: str) -> bool:
        """See `feed.Owner`."""
        address = next((address for address, one in self._feeds.items() if one is feed), None)
        redirection = parse_redirection(error, address) if address else None
        if redirection is None or not redirection.moved:
            return False
        slot = self._slots.get(redirection.slot)
        if slot is None or slot.feed is not feed or slot.astray:
            return True
        slot.astray = True
        for channel in slot.channels:
            feed.forget(channel)
            self._look_for(channel)
        slot.hops += 1
        if slot.hops <= _MOST_HOPS:
            self._pipes.moved(redirection)
            self._follow(redirection.slot)
        else:
            self._pipes.look()
        if slot.astray:
            self._disappoint(slot, _under_way())
        return True

    def dropped(self, feed: Feed, channels: Iterable[str]) -> None:
        """See `feed.Owner`."""
        for channel in channels:
            slot = self._slots.get(_number(channel))
            if slot is not None and slot.feed is feed and channel in self._pending:
                self._disappoint(slot, feed.unavailable(), channel)

    def changed(self) -> None:
        """See `feed.Owner`."""
        up = self._plain.up and all(feed.up for feed in self._feeds.values())
        if up != self.up:
            self.up = up
            self._changed()

    def _look_for(self, channel: str) -> None:
        """A channel that was heard is not heard any more."""
        if channel not in self._pending:
            self._again.add(channel)
            self._pending[channel] = self._loop.create_future()

    def _disappoint(self, slot: _Slot, error: BrokerUnavailable, *channels: str) -> None:
        """Who waits for these, or any of the slot, has waited in vain. What was heard before is looked for still."""
        for channel in channels or [*slot.channels]:
            if channel in self._again:
                failed = self._pending[channel]
                self._pending[channel] = self._loop.create_future()
            else:
                slot.feed.unsubscribe(channel)
                removed = self._remove(slot, channel)
                assert removed is not None, "confirmed, and waited for"
                failed = removed
            failed.set_exception(error)
            failed.exception()  # nobody has to wait for it

    # Where the slots are.

    def _choose(self) -> "redis.asyncio.Redis":
        self._plain_at = self._pipes.any()
        return self._pipes.client(self._plain_at)

    def _find(self, number: int) -> Feed | None:
        place = self._pipes.place(number)
        if place is None:
            return None
        return self._feed(place.master) if place.sharded else self._plain

    def _feed(self, address: Address) -> Feed:
        feed = self._feeds.get(address)
        if feed is None:
            name = f"subscriptions at {address[0]}:{address[1]}"
            feed = self._feeds[address] = Feed(
                lambda: self._pipes.client(address), name, self, sharded=True, timeout=self._timeout
            )
            feed.begin()
        return feed

    def _follow(self, number: int | None) -> None:
        """A slot, or the whole map of slots, may have changed."""
        if self._closed:
            return
        if number is None:
            self._follow_map()
            return
        slot, feed = self._slots.get(number), self._find(number)
        if slot is not None and feed is not None and (feed is not slot.feed or slot.astray):
            self._relocate(slot, feed)

    def _follow_map(self) -> None:
        sharding = self._pipes.sharding()
        for address in sharding:
            self._feed(address)
        for number in [*self._slots]:
            self._follow(number)
        used = {slot.feed for slot in self._slots.values()}
        for address in {*self._feeds} - sharding:
            if self._feeds[address] not in used:
                self._start(self._feeds.pop(address).close())
        if self._plain_at is not None and not self._pipes.is_master(self._plain_at):
            # It would deliver, but those who hear there are not counted: see `Broker.tell`.
            self._plain.fail("not a master any more")
        self.changed()

    def _relocate(self, slot: _Slot, feed: Feed) -> None:
        for channel in slot.channels:
            slot.feed.unsubscribe(channel)
            self._look_for(channel)
        slot.feed, slot.astray = feed, False
        feed.subscribe(*slot.channels)
        if not feed.up:
            self._disappoint(slot, feed.unavailable())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="broker shards")
        self._works.add(task)
        task.add_done_callback(self._works.discard)


def _under_way() -> BrokerUnavailable:
    return BrokerUnavailable("Redis does not answer: the channel's slot of the cluster is moving")


def _number(channel: str) -> int:
    """Return the number of the slot that a pub/sub channel is in."""
    number: int = key_slot(channel.encode())
    return number
