"""The command `connect`: who the client is, what it may, and the channels the server subscribes it to."""

import random
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from flux_gateway import __version__
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client, Stage
from flux_gateway.gateway.messaging.commands.entering import Entry, enter, leave, settle
from flux_gateway.gateway.messaging.commands.subscribing import Grant, granted
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.gateway.messaging.webhooks.webhooks import Caller
from flux_gateway.messaging.channels import personal_channel
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, ErrorCode
from flux_gateway.messaging.commands import Command, ConnectRequest, SubscribeRequest
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.results import ConnectResult
from flux_gateway.messaging.tokens import SubscriptionGrant, TokenExpired, TokenInvalid


class Identity(NamedTuple):
    """Who a client is, and until when, in unix seconds (0 for ever)."""

    user: str = ""
    info: bytes = b""
    meta: bytes = b""
    data: bytes = b""
    expire_at: float = 0.0
    refreshable: bool = False
    """By the client itself, with a new token."""
    channels: Mapping[str, SubscriptionGrant] = MappingProxyType({})
    by_token: bool = False


async def connect(parts: Parts, client: Client, command: Command, request: ConnectRequest) -> None:
    """Carry out `connect`. Raises `ClientError`, `Disconnect` and `BrokerUnavailable`."""
    await parts.turnstile.enter()
    client.id = str(uuid.uuid4())
    entered: list[tuple[Subscription, Entry]] = []
    try:
        identity = await _identify(parts, client, request)
        client.user, client.info, client.meta = identity.user, identity.info, identity.meta
        client.expire_at, client.refreshable = identity.expire_at, identity.refreshable
        client.identified()
        await _claim(parts, client)
        await _subscribe(parts, client, identity, request.subs, entered)
    except (ClientError, Disconnect, BrokerUnavailable):
        for subscription, _ in entered:
            await leave(parts, subscription, record=False)
        if client.user and parts.settings.connections_per_user:
            with suppress(BrokerUnavailable):
                await parts.broker.release_connection(client.user, client.id)
        client.id = ""  # it never was anybody
        raise
    if client.stage is Stage.OVER:
        return  # closed meanwhile
    client.enter()
    if not entered:
        try:
            await parts.records.save(client)
        except BrokerUnavailable:
            # It may talk to this node; its record is written when Redis is back.
            parts.records.later(client)
    settings = parts.settings
    result = ConnectResult(
        client=client.id,
        version=__version__,
        data=identity.data,
        subs={subscription.channel: entry.result for subscription, entry in entered},
        ping=settings.ping_interval,
        pong=True,
        session=client.secret,
        node=parts.node_id if client.secret else "",
    )
    if identity.expire_at and identity.refreshable:
        result.expires, result.ttl = True, parts.ttl(identity.expire_at)
    client.reply(command, result)
    for subscription, entry in entered:
        await settle(parts, entry, subscription)
    parts.expiries.watch(client)
    # Those that came together are not to be pinged together.
    first = settings.ping_interval * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
    parts.pings.add_due(client.connection, first)


async def _identify(parts: Parts, client: Client, request: ConnectRequest) -> Identity:
    settings = parts.settings
    if request.token:
        return await _by_token(parts, request.token)
    if parts.webhooks.asks("connect"):
        answer = await parts.webhooks.connect(Caller.of(client), request)
        if answer is not None:
            return Identity(
                answer.user, answer.info, answer.meta, answer.data, answer.expire_at, False, answer.channels
            )
    if settings.insecure or settings.anonymous:
        return Identity()
    raise Disconnect(CloseCode.BAD_REQUEST)


async def _by_token(parts: Parts, text: str) -> Identity:
    try:
        token = await parts.keys.connect_token(text, parts.wall_clock())
    except TokenInvalid as error:
        raise Disconnect(CloseCode.INVALID_TOKEN) from error
    except TokenExpired as error:
        raise ClientError(ErrorCode.TOKEN_EXPIRED) from error
    expire_at = 0.0 if parts.settings.insecure else token.expire_at or 0.0
    by_client = not parts.webhooks.asks("refresh")
    return Identity(token.user, token.info, token.meta, b"", expire_at, by_client, token.channels, True)


async def _claim(parts: Parts, client: Client) -> None:
    """Count the client among its user's connections. Without Redis the limit is not enforced."""
    limit, ttl = parts.settings.connections_per_user, parts.settings.presence_ttl
    if not client.user or not limit:
        return
    try:
        within = await parts.broker.claim_connection(client.user, client.id, limit, ttl)
    except BrokerUnavailable:
        return
    if not within:
        raise Disconnect(CloseCode.CONNECTION_LIMIT)


async def _subscribe(
    parts: Parts,
    client: Client,
    identity: Identity,
    known: Mapping[str, SubscribeRequest],
    entered: list[tuple[Subscription, Entry]],
) -> None:
    """Subscribe the client to what the server wants, each from where the client knows it to be; note it in `entered`.

    Raises as `enter` does; what is in `entered` by then is for the caller to leave.
    """
    settings = parts.settings
    grants = dict(identity.channels)
    if settings.user_personal_channel and client.user:
        grants.setdefault(personal_channel(client.user, settings.personal_channel_namespace), SubscriptionGrant())
    if len(grants) > settings.channel_limit:
        raise Disconnect(CloseCode.CHANNEL_LIMIT)
    rules_of = {channel: parts.channels.rules(channel)[1] for channel in grants}
    for channel, grant in grants.items():
        rules = rules_of[channel]
        subscription = granted(parts, client, channel, rules, Grant(grant.info, grant.data, override=grant.override))
        subscription.server_side, subscription.by_token = True, identity.by_token and channel in identity.channels
        wish = known.get(channel)
        since = Position(wish.offset, wish.epoch) if wish is not None and wish.recover else None
        entered.append((subscription, await enter(parts, subscription, since, data=grant.data)))
