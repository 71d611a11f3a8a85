"""Clients from other nodes: as such a node froze them, or, when it is gone, as their session record has them."""

import logging
import random

from flux_gateway.core.errors import BrokerUnavailable, ThawError
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client, Stage
from flux_gateway.gateway.messaging.commands.entering import enter, settle
from flux_gateway.gateway.messaging.encodings import BY_NAME
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.messaging import state
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, UnsubscribeCode
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import Publication
from flux_gateway.messaging.state import ClientState
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_SOON = 5.0
"""Seconds within which a reattached client is pinged: nobody knows when its last ping was."""


def take_over(parts: Parts, client: Client, kept: ClientState) -> None:
    """Fill in what is known of a client. Raises `ClientError` when a channel of its is not configured here."""
    client.id, client.user, client.info, client.meta = kept.client, kept.user, kept.info, kept.meta
    client.expire_at, client.refreshable = kept.expire_at, kept.refreshable
    client.headers, client.encoding = kept.headers, BY_NAME[kept.encoding]
    client.forgiven = client.forgiven or kept.forgiven
    client.owed = kept.owed
    client.known_orders = tuple(kept.orders)
    for channel, one in kept.subscriptions.items():
        rules = parts.channels.rules(channel)[1]
        there = client.resuming if one.returning else client.subscriptions
        there[channel] = Subscription.restored(client, channel, rules, one)


async def take_up(parts: Parts, subscription: Subscription) -> None:
    """Go on with a subscription exactly where the node before has left off, as soon as Redis answers."""
    channel = await parts.hub.join(subscription, patient=True)
    since = subscription.resume
    if since is None or subscription not in channel.joining:
        return  # the client has left the channel meanwhile
    missed: list[Publication] = []
    position = Position(channel.offset, channel.epoch)
    if since != position:
        position, missed = await parts.hub.read(channel, since)
    if subscription not in channel.joining:
        return
    first = missed[0].offset if missed else position.offset + 1
    broken = position.epoch != since.epoch or (first > since.offset + 1 and position.offset > since.offset)
    if broken and subscription.positioned:
        subscription.client.insufficient(subscription)
        return
    for publication in missed:
        subscription.client.push(subscription.channel, channel.visible(publication))
    parts.hub.live(subscription, position)


async def restore(parts: Parts, client: Client) -> None:
    """The client's node is gone: find out who the client is, and have it subscribe anew from its own positions."""
    try:
        data = await parts.hub.patiently(lambda: parts.broker.load_record(client.session_id))
        if client.stage is not Stage.RESTORING:
            return
        if data is None:
            parts.counters.restored["none"] += 1
            if not client.waiting:
                # It may have connected long ago, and would not notice that nobody knows it.
                raise Disconnect(CloseCode.FORCE_RECONNECT)
            client.stage = Stage.NEW
        else:
            parts.counters.restored["found"] += 1
            await _restore(parts, client, state.decode(data))
    except ThawError as error:
        log.warning("a session record is of no use here", extra=fields(session=client.session_id, error=str(error)))
        client.disconnect(Disconnect(CloseCode.FORCE_RECONNECT))
        return
    except Disconnect as error:
        client.disconnect(error)
        return
    client.resume()


async def _restore(parts: Parts, client: Client, kept: ClientState) -> None:
    if kept.encoding not in BY_NAME:
        raise ThawError(f"this node has no encoding {kept.encoding!r}")
    try:
        take_over(parts, client, kept)
    except ClientError as error:
        raise Disconnect(CloseCode.FORCE_RECONNECT) from error
    subscriptions = [*client.subscriptions.values(), *client.resuming.values()]
    # The client knows its positions, and brings them when it subscribes anew. For what the server has subscribed it to,
    # only a new connection does that.
    if any(one.server_side and one.recoverable for one in subscriptions):
        raise Disconnect(CloseCode.INSUFFICIENT_STATE)
    client.subscriptions.clear()
    parts.pings.add_due(client.connection, random.uniform(0, _SOON))  # noqa: S311 - spreads load, keeps no secret
    # All of them first: if the client leaves meanwhile, it leaves all of them.
    client.resuming = {one.channel: one for one in subscriptions}
    for one in subscriptions:
        one.resume = None
        if not one.server_side:
            parts.counters.insufficient += 1
            client.unsubscribed(one.channel, UnsubscribeCode.INSUFFICIENT)
    for one in subscriptions:
        if one.server_side:
            try:
                entry = await enter(parts, one, None)
            except BrokerUnavailable as error:
                raise Disconnect(CloseCode.FORCE_RECONNECT) from error
            await settle(parts, entry, one)
    if client.stage is Stage.RESTORING:
        client.enter()
        parts.expiries.watch(client)
        parts.records.later(client)
