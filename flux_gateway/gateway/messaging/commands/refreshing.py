"""Rights that expire: the commands `refresh` and `sub_refresh`, and what happens when nobody has renewed them."""

from flux_gateway import __version__
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.commands.entering import abandon, leave
from flux_gateway.gateway.messaging.commands.subscribing import check_token
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.gateway.messaging.webhooks.answers import RefreshAnswer
from flux_gateway.gateway.messaging.webhooks.webhooks import Caller, WebhookFailed
from flux_gateway.messaging.codes import (
    ClientError,
    CloseCode,
    Disconnect,
    ErrorCode,
    UnsubscribeCode,
)
from flux_gateway.messaging.commands import Command, RefreshRequest, SubRefreshRequest
from flux_gateway.messaging.results import RefreshResult, SubRefreshResult
from flux_gateway.messaging.tokens import TokenExpired, TokenInvalid

_AGAIN = 60.0
"""Seconds for which rights go on when the back end could not be asked."""


async def refresh(parts: Parts, client: Client, command: Command, request: RefreshRequest) -> None:
    """Carry out `refresh`: a new token of the same user."""
    if not request.token or (client.expire_at and not client.refreshable):
        raise Disconnect(CloseCode.BAD_REQUEST)
    try:
        token = await parts.keys.connect_token(request.token, parts.wall_clock())
    except TokenInvalid as error:
        raise Disconnect(CloseCode.INVALID_TOKEN) from error
    except TokenExpired as error:
        raise Disconnect(CloseCode.EXPIRED) from error
    if token.user != client.user:
        raise Disconnect(CloseCode.INVALID_TOKEN)
    if set(token.channels) != {name for name, one in client.subscriptions.items() if one.by_token}:
        # It comes back and gets what it may have now.
        raise Disconnect(CloseCode.INSUFFICIENT_STATE)
    client.expire_at, client.refreshable, client.info = token.expire_at or 0.0, True, token.info
    client.meta = token.meta
    parts.expiries.watch(client)
    parts.records.later(client)
    result = RefreshResult(client=client.id, version=__version__)
    if client.expire_at:
        result.expires, result.ttl = True, parts.ttl(client.expire_at)
    client.reply(command, result)


async def sub_refresh(parts: Parts, client: Client, command: Command, request: SubRefreshRequest) -> None:
    """Carry out `sub_refresh`: a new token for the same channel, user and client."""
    if not request.channel:
        raise Disconnect(CloseCode.BAD_REQUEST)
    subscription = client.subscriptions.get(request.channel)
    if subscription is None:
        raise ClientError(ErrorCode.PERMISSION_DENIED)
    if not request.token:
        raise ClientError(ErrorCode.BAD_REQUEST)
    try:
        token = await parts.keys.subscribe_token(request.token, parts.wall_clock())
    except TokenInvalid as error:
        raise Disconnect(CloseCode.INVALID_TOKEN) from error
    except TokenExpired as error:
        raise Disconnect(CloseCode.SUBSCRIPTION_EXPIRED) from error
    check_token(token, request.channel, client)
    subscription.expire_at, subscription.refreshable, subscription.info = token.expire_at or 0.0, True, token.info
    parts.expiries.watch(subscription)
    parts.records.later(client)
    result = SubRefreshResult()
    if subscription.expire_at:
        result.expires, result.ttl = True, parts.ttl(subscription.expire_at)
    client.reply(command, result)


async def expire(parts: Parts, client: Client, channel: str) -> None:
    """The time of a connection, or of its subscription to a channel, has come. It may have been refreshed."""
    try:
        if channel:
            subscription = client.subscriptions.get(channel)
            if subscription is not None and parts.expiries.over(subscription, parts.wall_clock()):
                await _expire_subscription(parts, client, subscription)
        elif parts.expiries.over(client, parts.wall_clock()):
            await _expire_connection(parts, client)
    except Disconnect as error:
        client.disconnect(error)


async def _expire_connection(parts: Parts, client: Client) -> None:
    if client.refreshable or not parts.webhooks.asks("refresh"):
        raise Disconnect(CloseCode.EXPIRED)
    try:
        answer = await parts.webhooks.refresh(Caller.of(client))
    except WebhookFailed:
        answer = RefreshAnswer(expired=False, expire_at=parts.wall_clock() + _AGAIN, info=b"")
    if answer is None or answer.expired or 0 < answer.expire_at <= parts.wall_clock():
        raise Disconnect(CloseCode.EXPIRED)
    client.expire_at = answer.expire_at
    client.info = answer.info or client.info
    client.meta = answer.meta or client.meta
    if client.present:
        parts.expiries.watch(client)
        parts.records.later(client)


async def _expire_subscription(parts: Parts, client: Client, subscription: Subscription) -> None:
    if not subscription.refreshable and parts.webhooks.asks("sub_refresh"):
        try:
            answer = await parts.webhooks.sub_refresh(Caller.of(client), subscription.channel)
        except WebhookFailed:
            answer = RefreshAnswer(expired=False, expire_at=parts.wall_clock() + _AGAIN, info=b"")
        if client.subscriptions.get(subscription.channel) is not subscription:
            return  # the client has ended it, perhaps for another one
        if answer is not None and not answer.expired:
            subscription.expire_at, subscription.info = answer.expire_at, answer.info or subscription.info
            parts.expiries.watch(subscription)
            return
    await unsubscribe_by_server(parts, client, subscription, UnsubscribeCode.EXPIRED)


async def unsubscribe_by_server(
    parts: Parts, client: Client, subscription: Subscription, code: int, reason: str = ""
) -> None:
    """End a subscription and say so to the client."""
    # Before anything is waited for: a session that moves meanwhile would leave the client untold.
    abandon(parts, subscription)
    client.unsubscribed(subscription.channel, code, reason)
    await leave(parts, subscription)
