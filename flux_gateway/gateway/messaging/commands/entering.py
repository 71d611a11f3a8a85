"""A client comes into a channel, and leaves it: history and live publications joined without a gap, presence, joins.

The order (facts, section 9): collect what is published, hear the channel, read the stream, answer, send what was
collected beyond the answer.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, NamedTuple

from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.channels.retention import retention
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client, Stage
from flux_gateway.gateway.messaging.departures import depart
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, ErrorCode
from flux_gateway.messaging.positions import Position, recover
from flux_gateway.messaging.results import SubscribeResult


class Entry(NamedTuple):
    """What to answer to a subscriber, and the position up to which that serves it."""

    result: SubscribeResult
    position: Position


async def enter(
    parts: Parts, subscription: Subscription, since: Position | None, *, data: bytes = b"", strict: bool = False
) -> Entry:
    """Make the client hear the channel, up to where only the answer is missing.

    `since` is the position to recover from, if it asks for that; `data` goes into the answer. Raises `ClientError` 112
    when nothing could be recovered and the client is `strict`, and `BrokerUnavailable`. After an exception the
    subscription is gone; else `settle` is called when the answer is on its way.
    """
    client = subscription.client
    _still_here(client)
    client.subscriptions[subscription.channel] = subscription
    try:
        channel = await parts.hub.join(subscription)
        position = Position(channel.offset, channel.epoch)
        work: list[Awaitable[Any]] = [parts.records.save(client)]
        if subscription.presence:
            info = client.client_info(subscription)
            work.append(parts.broker.add_presence(subscription.channel, info, parts.settings.presence_ttl))
        result = SubscribeResult(data=data)
        if subscription.positioned or subscription.recoverable:
            read, *_ = await asyncio.gather(_read(parts, subscription, since), *work)
            position = _fill(parts, subscription, since, read, result, strict=strict)
        else:
            await asyncio.gather(*work)
            result.was_recovering = since is not None
        _still_here(client)
    except BaseException:
        abandon(parts, subscription)
        raise
    if subscription.expire_at and subscription.refreshable:
        result.expires, result.ttl = True, parts.ttl(subscription.expire_at)
    parts.expiries.watch(subscription)
    return Entry(result, position)


def _still_here(client: Client) -> None:
    """Raise `Disconnect` when the client has left meanwhile."""
    if client.stage is Stage.OVER:
        raise Disconnect(CloseCode.CONNECTION_CLOSED)


async def _read(parts: Parts, subscription: Subscription, since: Position | None) -> Any:
    kept = retention(subscription.rules, parts.settings)
    recovering = since is not None and subscription.recoverable
    if recovering and subscription.rules.force_recovery_mode == "cache":
        return await parts.broker.history(
            subscription.channel, since=None, limit=1, reverse=True, meta_ttl=kept.meta_ttl
        )
    limit = parts.settings.recovery_limit + 1 if recovering else 0
    return await parts.broker.history(
        subscription.channel, since=since if recovering else None, limit=limit, meta_ttl=kept.meta_ttl
    )


def _fill(
    parts: Parts,
    subscription: Subscription,
    since: Position | None,
    read: Any,
    result: SubscribeResult,
    *,
    strict: bool,
) -> Position:
    """Fill the answer from what the stream said; return the position that the client will have."""
    top: Position = read.position
    result.recoverable, result.positioned = subscription.recoverable, True
    result.epoch, result.offset = top.epoch, top.offset
    if since is None:
        return top
    result.was_recovering = True
    if not subscription.recoverable:
        return top
    cache = subscription.rules.force_recovery_mode == "cache"
    verdict = recover(read.publications, since, top, parts.settings.recovery_limit, cache=cache)
    if verdict.recovered:
        parts.counters.recovered += 1
        result.recovered, result.publications = True, list(verdict.publications)
        result.offset = verdict.offset
    else:
        parts.counters.unrecovered += 1
        if strict:
            raise ClientError(ErrorCode.UNRECOVERABLE_POSITION)
    return top


def abandon(parts: Parts, subscription: Subscription) -> None:
    """The client was not let in after all."""
    client = subscription.client
    if client.subscriptions.get(subscription.channel) is subscription:
        del client.subscriptions[subscription.channel]
    parts.hub.leave(subscription)


async def settle(parts: Parts, entry: Entry, subscription: Subscription) -> None:
    """The answer is on its way: let publications follow it, and tell the others."""
    client = subscription.client
    returning = client.resuming.pop(subscription.channel, None)
    parts.hub.live(subscription, entry.position)
    if returning is not None:
        pass  # it was never away for the others
    elif subscription.announced:
        # Without Redis nobody could hear it.
        with suppress(BrokerUnavailable):
            await parts.broker.join(subscription.channel, client.client_info(subscription))


async def leave(parts: Parts, subscription: Subscription, *, record: bool = True) -> None:
    """The subscription is over: hear it no more, be there no more, and tell the others.

    Nobody is told when Redis does not answer: presence then ends by itself.
    """
    client = subscription.client
    abandon(parts, subscription)
    if record:
        parts.records.later(client)
    with suppress(BrokerUnavailable):
        await depart(parts.broker, client, subscription)
