"""What an order does to one client. Runs between the client's own commands."""

import logging

from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.commands.entering import enter, leave, settle
from flux_gateway.gateway.messaging.commands.refreshing import unsubscribe_by_server
from flux_gateway.gateway.messaging.commands.subscribing import Grant, granted
from flux_gateway.gateway.messaging.orders.orders import (
    DisconnectOrder,
    Order,
    RefreshOrder,
    SubscribeOrder,
    UnsubscribeOrder,
)
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.messaging.codes import (
    ClientError,
    CloseCode,
    Disconnect,
    UnsubscribeCode,
)
from flux_gateway.messaging.commands import SubscribeRequest
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.results import RefreshPush, Subscribe
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)


async def carry_out(parts: Parts, order: Order, client: Client) -> None:
    """Carry out an order for a client that it concerns. Raises `Disconnect` when that ends the client."""
    if not client.present:
        return
    if isinstance(order, DisconnectOrder):
        raise Disconnect(order.code, order.reason)
    if isinstance(order, RefreshOrder):
        _refresh(parts, order, client)
    elif isinstance(order, UnsubscribeOrder):
        await _unsubscribe(parts, order, client)
    else:
        await _subscribe(parts, order, client)


def _refresh(parts: Parts, order: RefreshOrder, client: Client) -> None:
    now = parts.wall_clock()
    if order.expired or 0 < order.expire_at <= now:
        raise Disconnect(CloseCode.EXPIRED)
    client.expire_at, client.info = order.expire_at, order.info or client.info
    parts.expiries.watch(client)
    parts.records.later(client)
    left = parts.ttl(order.expire_at) if order.expire_at else 0
    client.push("", RefreshPush(expires=bool(left), ttl=left))


async def _unsubscribe(parts: Parts, order: UnsubscribeOrder, client: Client) -> None:
    code = UnsubscribeCode.SERVER
    subscription = client.subscriptions.get(order.channel)
    if subscription is not None:
        await unsubscribe_by_server(parts, client, subscription, code)
        return
    returning = client.resuming.pop(order.channel, None)
    if returning is not None:
        # It was told to subscribe anew and has not done so yet: now it must not.
        await leave(parts, returning)
        client.unsubscribed(order.channel, code)


async def _subscribe(parts: Parts, order: SubscribeOrder, client: Client) -> None:
    if order.channel in client.subscriptions:
        return
    if len(client.subscriptions) >= parts.settings.channel_limit:
        log.warning("a client has too many channels for one more", extra=fields(client=client.id))
        return
    try:
        rules = parts.channels.rules(order.channel)[1]
    except ClientError as error:
        log.warning("an order names a channel that is not configured here", extra=fields(error=error))
        return
    grant = Grant(order.info, order.data, order.expire_at, False, order.override)
    since = Position(*order.since) if order.since is not None else None
    subscription = granted(parts, client, order.channel, rules, grant, SubscribeRequest(recover=since is not None))
    subscription.server_side = True
    try:
        entry = await enter(parts, subscription, since, data=order.data)
    except BrokerUnavailable:
        log.warning("a client cannot be subscribed without Redis", extra=fields(client=client.id))
        return
    if client.subscriptions.get(order.channel) is not subscription:
        return  # it has left meanwhile
    result = entry.result
    client.push(
        order.channel,
        Subscribe(
            recoverable=result.recoverable, epoch=result.epoch, offset=result.offset, positioned=result.positioned,
            data=result.data,
        ),
    )  # fmt: skip
    for publication in result.publications:
        client.push(order.channel, publication)
    await settle(parts, entry, subscription)
