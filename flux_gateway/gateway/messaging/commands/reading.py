"""The commands `presence`, `presence_stats` and `history`, and the same questions of a back end."""

from flux_gateway.gateway.messaging.channels.retention import retention
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.messaging import permissions
from flux_gateway.messaging.channels import ChannelName
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, ErrorCode
from flux_gateway.messaging.commands import (
    Command,
    HistoryRequest,
    PresenceRequest,
    PresenceStatsRequest,
    StreamPosition,
)
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.results import HistoryResult, PresenceResult, PresenceStatsResult


async def presence(parts: Parts, client: Client, command: Command, request: PresenceRequest) -> None:
    """Carry out `presence`."""
    _check_presence(parts, client, request.channel)
    client.reply(command, await presence_of(parts, request.channel))


async def presence_stats(parts: Parts, client: Client, command: Command, request: PresenceStatsRequest) -> None:
    """Carry out `presence_stats`."""
    _check_presence(parts, client, request.channel)
    client.reply(command, await presence_stats_of(parts, request.channel))


def _check_presence(parts: Parts, client: Client, channel: str) -> None:
    name, rules = _rules(parts, channel)
    if not rules.presence:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    subscribed, insecure = channel in client.subscriptions, parts.settings.insecure
    if not permissions.may_presence(rules, client.user, subscribed, insecure, name):
        raise ClientError(ErrorCode.PERMISSION_DENIED)


def _rules(parts: Parts, channel: str) -> tuple[ChannelName, Namespace]:
    if not channel:
        raise Disconnect(CloseCode.BAD_REQUEST)
    return parts.channels.rules(channel)


async def history(parts: Parts, client: Client, command: Command, request: HistoryRequest) -> None:
    """Carry out `history`."""
    name, rules = _rules(parts, request.channel)
    if not rules.recoverable:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    subscribed, insecure = request.channel in client.subscriptions, parts.settings.insecure
    if not permissions.may_history(rules, client.user, subscribed, insecure, name):
        raise ClientError(ErrorCode.PERMISSION_DENIED)
    limit = parts.settings.history_limit
    wanted = limit if request.limit < 0 else min(request.limit, limit)
    client.reply(command, await history_of(parts, request.channel, wanted, request.since, reverse=request.reverse))


async def presence_of(parts: Parts, channel: str) -> PresenceResult:
    """Return who is in a channel. Raises `ClientError` and `BrokerUnavailable`."""
    if not parts.channels.rules(channel)[1].presence:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    return PresenceResult(presence=await parts.broker.presence(channel))


async def presence_stats_of(parts: Parts, channel: str) -> PresenceStatsResult:
    """Return how many are in a channel. Raises `ClientError` and `BrokerUnavailable`."""
    if not parts.channels.rules(channel)[1].presence:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    clients, users = await parts.broker.presence_stats(channel)
    return PresenceStatsResult(num_clients=clients, num_users=users)


async def history_of(
    parts: Parts, channel: str, limit: int, since: StreamPosition | None, *, reverse: bool
) -> HistoryResult:
    """Return a part of a channel's history: `limit` 0 for the position only, -1 for all.

    Raises `ClientError` and `BrokerUnavailable`.
    """
    rules = parts.channels.rules(channel)[1]
    if not rules.recoverable:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    if reverse and since is not None and since.offset == 0:
        raise ClientError(ErrorCode.BAD_REQUEST)
    after = Position(since.offset, since.epoch) if since is not None else None
    kept = retention(rules, parts.settings)
    read = await parts.broker.history(channel, since=after, limit=limit, reverse=reverse, meta_ttl=kept.meta_ttl)
    if after is not None and after.epoch and after.epoch != read.position.epoch:
        raise ClientError(ErrorCode.UNRECOVERABLE_POSITION)
    return HistoryResult(
        publications=list(read.publications), epoch=read.position.epoch, offset=read.position.offset
    )
