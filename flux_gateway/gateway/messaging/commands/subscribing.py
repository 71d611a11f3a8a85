"""The commands `subscribe` and `unsubscribe`: who may (facts, section 10, in its order), and the way in and out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.commands.entering import Entry, enter, leave, settle
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.gateway.messaging.webhooks.webhooks import Caller
from flux_gateway.messaging import permissions
from flux_gateway.messaging.channels import ChannelName
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, ErrorCode
from flux_gateway.messaging.commands import Command, SubscribeRequest, UnsubscribeRequest
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.results import UnsubscribeResult
from flux_gateway.messaging.tokens import SubscribeToken, TokenExpired, TokenInvalid

_STREAM = 0
"""The kind of subscription that is served; others are answered with "not available"."""

_REJECT_UNRECOVERED = 2
"""Bit of `flag`: rather an error than a subscription that has missed something."""


class Grant(NamedTuple):
    """What a token or webhook says about a subscription."""

    info: bytes = b""
    data: bytes = b""
    expire_at: float = 0.0
    refreshable: bool = False
    override: Mapping[str, bool] = MappingProxyType({})


async def subscribe(parts: Parts, client: Client, command: Command, request: SubscribeRequest) -> None:
    """Carry out `subscribe`. Raises `ClientError`, `Disconnect` and `BrokerUnavailable`."""
    subscription, entry = await _subscribe(parts, client, request)
    client.reply(command, entry.result)
    await settle(parts, entry, subscription)


async def _subscribe(parts: Parts, client: Client, request: SubscribeRequest) -> tuple[Subscription, Entry]:
    if not request.channel or request.delta not in ("", "fossil"):
        raise Disconnect(CloseCode.BAD_REQUEST)
    name, rules = parts.channels.rules(request.channel)
    if request.type != _STREAM:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    if request.tf:
        raise ClientError(ErrorCode.BAD_REQUEST)
    if request.channel in client.subscriptions:
        raise ClientError(ErrorCode.ALREADY_SUBSCRIBED)
    if len(client.subscriptions) >= parts.settings.channel_limit:
        raise ClientError(ErrorCode.LIMIT_EXCEEDED)
    grant = await _authorise(parts, client, request, name, rules)
    subscription = granted(parts, client, request.channel, rules, grant, request)
    since = Position(request.offset, request.epoch) if request.recover else None
    strict = bool(request.flag & _REJECT_UNRECOVERED)
    return subscription, await enter(parts, subscription, since, data=grant.data, strict=strict)


async def _authorise(
    parts: Parts, client: Client, request: SubscribeRequest, name: ChannelName, rules: Namespace
) -> Grant:
    insecure = parts.settings.insecure
    if request.token:
        return await _by_token(parts, client, request)
    if insecure:
        return Grant()
    if name.private:
        raise ClientError(ErrorCode.PERMISSION_DENIED)
    if name.limited(rules):
        if not name.lists(client.user):
            raise ClientError(ErrorCode.PERMISSION_DENIED)
        return Grant()
    if rules.subscribe_proxy_enabled:
        answer = await parts.webhooks.subscribe(Caller.of(client), request.channel, request.data, request.token)
        by_client = not parts.webhooks.asks("sub_refresh")
        return Grant(answer.info, answer.data, answer.expire_at, by_client, answer.override)
    if not permissions.may_subscribe(rules, client.user, insecure=insecure):
        raise ClientError(ErrorCode.PERMISSION_DENIED)
    return Grant()


async def _by_token(parts: Parts, client: Client, request: SubscribeRequest) -> Grant:
    try:
        token = await parts.keys.subscribe_token(request.token, parts.wall_clock())
    except TokenInvalid as error:
        raise ClientError(ErrorCode.PERMISSION_DENIED) from error
    except TokenExpired as error:
        raise ClientError(ErrorCode.TOKEN_EXPIRED) from error
    check_token(token, request.channel, client)
    expire_at = 0.0 if parts.settings.insecure else token.expire_at or 0.0
    return Grant(token.info, token.data, expire_at, True, token.override)


def check_token(token: SubscribeToken, channel: str, client: Client) -> None:
    """Raise `Disconnect` when a genuine token is for another channel, user or client."""
    if (token.channel, token.user) != (channel, client.user) or token.client not in ("", client.id):
        raise Disconnect(CloseCode.INVALID_TOKEN)


_NO_WISHES = SubscribeRequest()


def granted(
    parts: Parts, client: Client, channel: str, rules: Namespace, grant: Grant, wishes: SubscribeRequest = _NO_WISHES
) -> Subscription:
    """Return a subscription with what its namespace and grant force upon it, and what of the wishes is allowed."""
    insecure, override = parts.settings.insecure, grant.override
    one = Subscription(client, channel, rules)
    one.info, one.expire_at, one.refreshable = grant.info, grant.expire_at, grant.refreshable
    one.presence = override.get("presence", rules.presence)
    one.announced = override.get("join_leave", rules.join_leave)
    one.join_leave = one.announced and (
        override.get("force_push_join_leave", rules.force_push_join_leave)
        or (wishes.join_leave and permissions.may_presence(rules, client.user, True, insecure))
    )
    if rules.recoverable:
        reads = permissions.may_history(rules, client.user, True, insecure)
        one.recoverable = override.get("force_recovery", rules.force_recovery) or (
            (wishes.recoverable or wishes.recover) and (rules.allow_recovery or reads)
        )
        # A position is what recovery starts from.
        one.positioned = one.recoverable or override.get("force_positioning", rules.force_positioning) or (
            wishes.positioned and (rules.allow_positioning or reads)
        )
    return one


async def unsubscribe(parts: Parts, client: Client, command: Command, request: UnsubscribeRequest) -> None:
    """Carry out `unsubscribe`: a success also where there was no subscription."""
    if not request.channel:
        raise Disconnect(CloseCode.BAD_REQUEST)
    # One that it was to subscribe to anew is over, too.
    subscription = client.subscriptions.get(request.channel) or client.resuming.pop(request.channel, None)
    if subscription is not None:
        await leave(parts, subscription)
    client.reply(command, UnsubscribeResult())
