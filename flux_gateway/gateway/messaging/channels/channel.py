"""One channel on one node: who hears it here, how far this node is, and the way of a publication to all of them.

The node keeps one position for the channel. A client that is served normally has the same one, so that nothing is noted
per client when a publication goes out. The exceptions have places of their own: `joining` collects what comes while a
client is being subscribed, `ahead` holds clients that learnt from the history what has not yet come here.
"""

import asyncio
from collections import defaultdict
from typing import Protocol

from msgspec import structs

from flux_gateway.broker.events import Event, Kind
from flux_gateway.core.session import Traffic
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.encodings import Encoding
from flux_gateway.messaging.codec import NotJson
from flux_gateway.messaging.codes import CloseCode, Disconnect
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import ClientInfo, Publication
from flux_gateway.messaging.results import Join, Leave

Outgoing = defaultdict[Connection, list[bytes]]
"""Frames of several channels: a client that hears more than one of them gets all of it in one write."""


class Owner(Protocol):
    """What a channel needs of the hub."""

    traffic: Traffic

    def changed(self, channel: "Channel") -> None:
        """There is something to deliver at the end of this turn of the loop."""

    def refill(self, channel: "Channel") -> None:
        """Something is missing: read it from the stream."""


class Channel:
    """The channel's subscribers on this node. Owned by the hub, which calls `deliver` once per turn of the loop."""

    __slots__ = (
        "_hub", "ahead", "batch", "epoch", "joining", "known", "members", "name", "offset", "rules", "waiters",
        "waiting", "work",
    )  # fmt: skip

    def __init__(self, hub: Owner, name: str, rules: Namespace) -> None:
        self._hub = hub
        self.name = name
        self.rules = rules
        self.offset = 0
        self.epoch = ""
        self.known = False
        """Redis has confirmed the subscription, and where the stream stands."""
        self.members: dict[Encoding, dict[Subscription, Connection]] = {}
        """With the connections at hand: a publication then looks at nothing else of a client."""
        self.joining: dict[Subscription, list[Event]] = {}
        self.ahead: set[Subscription] = set()
        self.batch: list[Event] = []
        """What came in this turn of the loop."""
        self.waiting: list[Event] | None = []
        """While the position is being found out: what comes meanwhile."""
        self.work: asyncio.Task[None] | None = None
        """What asks Redis for the position, if that is under way."""
        self.waiters: list[asyncio.Future[None]] = []
        """Called when the position is known, or cannot be found out now."""

    @property
    def occupied(self) -> bool:
        """Whether anybody hears or is about to hear this channel here."""
        return bool(self.joining or self.ahead or any(self.members.values()))

    def subscriptions(self) -> list[Subscription]:
        """Return everybody who is served, without those who are joining."""
        return [*self.ahead, *(one for group in self.members.values() for one in group)]

    # What comes from Redis.

    def take(self, event: Event) -> None:
        """Take what Redis has sent, in its order."""
        if self.waiting is not None:
            self.waiting.append(event)
        else:
            self._accept(event)

    def _accept(self, event: Event) -> bool:
        """Take the next event into the batch. Returns False if something before it is missing: it waits now."""
        if event.kind is Kind.PUBLICATION and event.offset:
            if event.epoch != self.epoch or event.offset > self.offset + 1:
                self.waiting = [event]
                self._hub.refill(self)
                return False
            if event.offset <= self.offset:
                return True
            self.offset = event.offset
        self.batch.append(event)
        self._hub.changed(self)
        return True

    def found(self, position: Position, publications: list[Publication]) -> None:
        """The stream has been read: it is at `position`, and these are what it holds after this node's position.

        After a change of the epoch they are all that it holds.
        """
        if self.known and position.epoch != self.epoch:
            self._insufficient()
            self.epoch, self.offset = position.epoch, 0
        elif not self.known:
            self.known, self.epoch, self.offset = True, position.epoch, position.offset
            publications = []
        expected = self.offset + 1
        if (publications[0].offset if publications else position.offset + 1) > expected and position.offset >= expected:
            self._insufficient()
        for publication in publications:
            if publication.offset > self.offset:
                self.offset = publication.offset
                self.batch.append(Event(Kind.PUBLICATION, publication.offset, self.epoch, publication))
        self.offset = max(self.offset, position.offset)
        self.resume()
        if self.batch:
            self._hub.changed(self)

    def resume(self) -> None:
        """Take what came while the position was being found out."""
        waiting, self.waiting = self.waiting or [], None
        # The stream was read after these came: what belongs to another one is from before it was lost.
        waiting = [one for one in waiting if one.epoch in ("", self.epoch)]
        for number, event in enumerate(waiting):
            if not self._accept(event):
                for later in waiting[number + 1 :]:
                    self.take(later)
                break

    def _insufficient(self) -> None:
        """Some publications are lost for this node: whoever wants to know of such a thing is told."""
        self.deliver()
        for subscription in self.subscriptions():
            if subscription.positioned:
                subscription.client.insufficient(subscription)
            elif subscription.ahead:
                # Its count belongs to a stream that is no more.
                self._level(subscription)

    # Who hears it.

    def join(self, subscription: Subscription) -> None:
        """From now on collect for this client."""
        self.joining[subscription] = []

    def live(self, subscription: Subscription, position: Position) -> None:
        """The client is told everything up to `position`: send what was collected beyond it, and go on from there."""
        self.deliver()
        collected = self.joining.pop(subscription)
        subscription.ahead = 0
        if position.epoch != self.epoch and subscription.positioned:
            # One of the two was told before the stream was lost, the other afterwards: their offsets do not compare.
            subscription.client.insufficient(subscription)
            return
        if position.epoch == self.epoch and position.offset > self.offset:
            subscription.ahead = position.offset
            self.ahead.add(subscription)
        else:
            self._level(subscription)
        self._send(subscription, collected, position)

    def _level(self, subscription: Subscription) -> None:
        subscription.ahead = 0
        self.ahead.discard(subscription)
        client = subscription.client
        self.members.setdefault(client.encoding, {})[subscription] = client.connection

    def leave(self, subscription: Subscription) -> None:
        """The client does not hear it any more. What came before is delivered."""
        self.deliver()
        self.joining.pop(subscription, None)
        self.ahead.discard(subscription)
        group = self.members.get(subscription.client.encoding)
        if group is not None:
            group.pop(subscription, None)
            if not group:
                del self.members[subscription.client.encoding]

    def position(self, subscription: Subscription) -> Position:
        """Return how far the client has been served. What is still in the batch goes out first."""
        self.deliver()
        return Position(subscription.ahead or self.offset, self.epoch)

    # The way out.

    def deliver(self, outgoing: Outgoing | None = None) -> None:
        """Send what came: encoded once for all clients with the same encoding.

        With `outgoing` it is put there, and the caller sends it in this turn of the loop.
        """
        batch = self.batch
        if not batch:
            return
        self.batch = []
        for collected in self.joining.values():
            collected += batch
        plain = all(event.kind is Kind.PUBLICATION for event in batch)
        for encoding, group in [*self.members.items()]:
            if plain:
                self._spread(encoding, group, batch, outgoing)
            else:
                self._spread_membership(encoding, group, batch, outgoing)
        for subscription in [*self.ahead]:
            self._send(subscription, batch, Position(subscription.ahead, self.epoch), outgoing)
            if subscription.ahead <= self.offset:
                self._level(subscription)

    def _spread(
        self, encoding: Encoding, group: dict[Subscription, Connection], events: list[Event], outgoing: Outgoing | None
    ) -> None:
        try:
            data = self._encoded(encoding, events)
        except NotJson:
            self._unreadable([*group])
            return
        connections = [*group.values()]  # one that is closed on the way leaves the group
        if outgoing is None:
            for connection in connections:
                connection.send(data)
        else:
            for connection in connections:
                outgoing[connection].append(data)
        self._count(events, len(connections))

    def _spread_membership(
        self, encoding: Encoding, group: dict[Subscription, Connection], events: list[Event], outgoing: Outgoing | None
    ) -> None:
        """Joins and leaves are for those who asked for them."""
        without = [event for event in events if event.kind is Kind.PUBLICATION]
        for wanted, chosen in ((True, events), (False, without)):
            part = {one: connection for one, connection in group.items() if one.join_leave is wanted}
            if part and chosen:
                self._spread(encoding, part, chosen, outgoing)

    def _send(
        self, subscription: Subscription, events: list[Event], after: Position, outgoing: Outgoing | None = None
    ) -> None:
        """Send one client what is beyond `after`."""
        chosen = [
            event
            for event in events
            if (subscription.join_leave if event.kind is not Kind.PUBLICATION else _beyond(event, after))
        ]
        if chosen:
            client = subscription.client
            self._spread(client.encoding, {subscription: client.connection}, chosen, outgoing)

    def _encoded(self, encoding: Encoding, events: list[Event]) -> bytes:
        push = encoding.codec.push
        return encoding.wrap([push(self.name, self._body(event)) for event in events])

    def _body(self, event: Event) -> Publication | Join | Leave:
        body = event.body
        if isinstance(body, ClientInfo):
            return Join(info=body) if event.kind is Kind.JOIN else Leave(info=body)
        return self.visible(body)

    def visible(self, publication: Publication) -> Publication:
        """Return it as clients see it: without history there are no offsets for them."""
        return publication if self.rules.recoverable else structs.replace(publication, offset=0)

    def _count(self, events: list[Event], clients: int) -> None:
        self._hub.traffic.messages_out += len(events) * clients

    def _unreadable(self, subscriptions: list[Subscription]) -> None:
        """A payload that is not JSON came into a channel that JSON clients hear."""
        for subscription in subscriptions:
            subscription.client.disconnect(Disconnect(CloseCode.INAPPROPRIATE_PROTOCOL))


def _beyond(event: Event, after: Position) -> bool:
    return not event.offset or event.epoch != after.epoch or event.offset > after.offset
