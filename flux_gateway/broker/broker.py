"""The broker: what a node sees of Redis beyond the registry."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio

from flux_gateway.broker import keys, wire
from flux_gateway.broker.cluster import Cluster, ClusterPipes
from flux_gateway.broker.commands import Commands
from flux_gateway.broker.events import Event, Kind
from flux_gateway.broker.pipe import Pipe
from flux_gateway.broker.records import Records
from flux_gateway.broker.refresh import Refresh
from flux_gateway.broker.shards import Shards
from flux_gateway.broker.streams import Streams
from flux_gateway.broker.subscriber import Subscriber
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.messaging.publication import ClientInfo

log = logging.getLogger(__name__)


class Broker(Streams, Refresh, Records):
    """Channels, presence and session records in Redis, and messages between nodes.

    Two connections, each opened again by itself when it broke: one for commands, one for what is published; in a Redis
    Cluster so many for each master. Every command raises `BrokerUnavailable`: at once while there is no connection,
    else when it breaks, or after `timeout`.
    """

    def __init__(self, client: "redis.asyncio.Redis | Cluster", *, timeout: float, node_id: str) -> None:
        """`client` tells how to connect, to one Redis or to a cluster; it is closed with the broker.

        `timeout` in seconds.

        Must be made where the loop runs. `node_id` is the name under which other nodes `tell` something to this one.
        """
        self._client = client
        self._pipe: Pipe | ClusterPipes
        self._subscriber: Subscriber | Shards
        changed, receive = self._line_changed, self._take
        if isinstance(client, Cluster):
            self._pipe = pipes = ClusterPipes(client, timeout=timeout, changed=changed)
            self._subscriber = Shards(pipes, timeout=timeout, changed=changed, receive=receive, gap=self._gap)
            self._publish_by = "SPUBLISH"
        else:
            self._pipe = Pipe(client, timeout=timeout, changed=changed)
            self._subscriber = Subscriber(_always(client), timeout=timeout, changed=changed, receive=receive)
            self._publish_by = "PUBLISH"
        self._commands: Commands = self._pipe
        self._control = (keys.control(""), keys.control(node_id))
        self._names: dict[bytes, str] = {}
        """Pub/sub channel as Redis sends it -> channel, of those that are subscribed."""
        self.available = False
        """Whether both connections stand, and everything is subscribed."""
        self.on_event: Callable[[str, Event], None] = lambda channel, event: None
        """Called with every message of a subscribed channel, in the order of Redis, many in one turn of the loop."""
        self.on_control: Callable[[bytes], None] = lambda data: None
        """Called with what nodes tell each other."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when it becomes unavailable, also by `close`: what is published from then on may be missed."""
        self.on_back: Callable[[], None] = lambda: None
        """Called when it is available again: whatever is published from then on comes as an event."""
        self.on_gap: Callable[[list[str]], None] = lambda channels: None
        """Called with channels of which something may have been missed, though it was available: their slot has moved.

        They are subscribed again: whatever is published from then on comes as an event.
        """

    async def start(self) -> None:
        """Connect. Returns after the first try; with Redis away the broker is not `available`, and keeps trying."""
        self._subscriber.keep(*self._control)
        await self._pipe.start()
        await self._subscriber.start()

    async def close(self) -> None:
        """End the connections. What is under way fails."""
        await asyncio.gather(self._pipe.close(), self._subscriber.close())
        if not isinstance(self._client, Cluster):
            await self._client.aclose()
            await self._client.connection_pool.disconnect()

    def _line_changed(self) -> None:
        available = self._pipe.up and self._subscriber.up
        if available != self.available:
            self.available = available
            try:
                (self.on_back if available else self.on_lost)()
            except Exception:
                log.exception("the connection to Redis has changed, which cannot be handled")

    # Channels.

    async def subscribe(self, channel: str) -> None:
        """Return when Redis has confirmed: whatever is published from then on comes as an event.

        Raises `BrokerUnavailable`; then the channel is not subscribed. A caller that is cancelled must unsubscribe.
        """
        name = keys.channel(channel)
        self._names[name.encode()] = channel
        try:
            await self._subscriber.subscribe(name)
        except BrokerUnavailable:
            if not self._subscriber.wants(name):
                self._names.pop(name.encode(), None)
            raise

    def unsubscribe(self, channel: str) -> None:
        """Hear the channel no more. Nothing happens if it is not subscribed."""
        name = keys.channel(channel)
        self._names.pop(name.encode(), None)
        self._subscriber.unsubscribe(name)

    async def join(self, channel: str, info: ClientInfo) -> None:
        """Tell everybody who hears the channel that a client is in it now."""
        await self._tell_channel(channel, _membership(Kind.JOIN, info))

    async def leave(self, channel: str, info: ClientInfo) -> None:
        """Tell everybody who hears the channel that a client is not in it any more."""
        await self._tell_channel(channel, _membership(Kind.LEAVE, info))

    def _tell_channel(self, channel: str, data: bytes) -> Awaitable[Any]:
        name = keys.channel(channel)
        sharded = isinstance(self._subscriber, Shards) and self._subscriber.sharded(name)
        return self._commands.call("SPUBLISH" if sharded else "PUBLISH", name, data)

    def _gap(self, names: Sequence[str]) -> None:
        channels = [self._names[name] for name in map(str.encode, names) if name in self._names]
        try:
            self.on_gap(channels)
        except Exception:
            log.exception("channels have moved within Redis, which cannot be handled")

    # Nodes.

    async def tell(self, data: bytes, node: str = "") -> int:
        """Send something to one node, or to all of them, this one included.

        Returns how many hear it. In a Redis Cluster these are counted afterwards; a master that does not answer leaves
        out those who hear it there.
        """
        name = keys.control(node)
        heard = int(await self._commands.call("PUBLISH", name, data))
        if not isinstance(self._pipe, ClusterPipes):
            return heard
        # PUBLISH tells only who hears it at the same Redis.
        counts = await asyncio.gather(*self._pipe.everywhere("PUBSUB", "NUMSUB", name), return_exceptions=True)
        return max(heard, sum(int(count[1]) for count in counts if not isinstance(count, BaseException)))

    def _take(self, name: bytes, data: bytes) -> None:
        try:
            channel = self._names.get(name)
            if channel is not None:
                self.on_event(channel, wire.decode_event(data))
            elif name.decode() in self._control:
                self.on_control(data)
        except Exception:
            # One message that cannot be handled must not keep the others from coming.
            log.exception("a message from Redis cannot be handled")


def _always(client: "redis.asyncio.Redis") -> "Callable[[], redis.asyncio.Redis]":
    return lambda: client


def _membership(kind: Kind, info: ClientInfo) -> bytes:
    return wire.event_head(kind) + wire.encode_info(info)
