"""The methods of the HTTP API (facts, section 12). Each raises `ClientError` and `BrokerUnavailable`."""

from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.api import results
from flux_gateway.gateway.messaging.api.requests import (
    BroadcastCall,
    ChannelCall,
    ChannelsCall,
    DisconnectCall,
    HistoryCall,
    InfoCall,
    PublishCall,
    RefreshCall,
    RpcCall,
    SubscribeCall,
    UnsubscribeCall,
    payload,
)
from flux_gateway.gateway.messaging.api.slices import in_slices
from flux_gateway.gateway.messaging.commands.publishing import Extra, publish_to
from flux_gateway.gateway.messaging.commands.reading import history_of, presence_of, presence_stats_of
from flux_gateway.gateway.messaging.orders.control import Control
from flux_gateway.gateway.messaging.orders.orders import DisconnectOrder, RefreshOrder, SubscribeOrder, UnsubscribeOrder
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.messaging.codes import ClientError, CloseCode, ErrorCode
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.results import PresenceStatsResult

_LOWEST_CODE, _HIGHEST_CODE = 3000, 4999
"""Close codes that servers of this protocol may send in a close frame."""


def _rules(parts: Parts, channel: str | None) -> Namespace:
    return parts.channels.rules(channel or "")[1]


async def publish(parts: Parts, control: Control, call: PublishCall) -> results.Published:
    """Publish into a channel."""
    rules, data = _rules(parts, call.channel), call.payload()
    async with control.room:
        return results.published(await publish_to(parts, call.channel or "", rules, data, extra=call.extra()))


async def broadcast(parts: Parts, control: Control, call: BroadcastCall) -> results.Broadcast:
    """Publish into many channels: each succeeds or fails by itself."""
    if not call.channels:
        raise ClientError(ErrorCode.BAD_REQUEST)
    data, extra = call.payload(), call.extra()

    async def one(channel: str) -> results.Response:
        return await _one_of_many(parts, control, channel, data, extra)

    return results.Broadcast(await in_slices(one, call.channels))


async def _one_of_many(parts: Parts, control: Control, channel: str, data: bytes, extra: Extra) -> results.Response:
    try:
        rules = _rules(parts, channel)
        async with control.room:
            position = await publish_to(parts, channel, rules, data, extra=extra)
    except ClientError as error:
        return results.Response(error=results.failed(error))
    except BrokerUnavailable:
        return results.Response(error=results.failed(ClientError(ErrorCode.INTERNAL)))
    return results.Response(result=results.published(position))


async def subscribe(parts: Parts, control: Control, call: SubscribeCall) -> results.Done:
    """Subscribe clients to a channel."""
    _rules(parts, call.channel)
    since = call.recover_since
    await control.give(
        SubscribeOrder(
            node=parts.node_id,
            user=call.user or "",
            client=call.client or "",
            session=call.session or "",
            channel=call.channel or "",
            info=payload(call.info, call.b64info),
            data=payload(call.data, call.b64data),
            override=call.overrides(),
            expire_at=call.expire_at or 0.0,
            since=(since.offset, since.epoch) if since is not None else None,
        )
    )
    return results.Done()


async def unsubscribe(parts: Parts, control: Control, call: UnsubscribeCall) -> results.Done:
    """End subscriptions of clients to a channel."""
    if not call.channel:
        raise ClientError(ErrorCode.BAD_REQUEST)
    await control.give(
        UnsubscribeOrder(
            node=parts.node_id,
            user=call.user or "",
            client=call.client or "",
            session=call.session or "",
            channel=call.channel,
        )
    )
    return results.Done()


async def disconnect(parts: Parts, control: Control, call: DisconnectCall) -> results.Done:
    """End connections."""
    code = (call.disconnect and call.disconnect.code) or CloseCode.FORCE_DISCONNECT
    if not _LOWEST_CODE <= code <= _HIGHEST_CODE:
        raise ClientError(ErrorCode.BAD_REQUEST)
    await control.give(
        DisconnectOrder(
            node=parts.node_id,
            user=call.user or "",
            client=call.client or "",
            session=call.session or "",
            whitelist=tuple(call.whitelist or ()),
            code=code,
            reason=(call.disconnect and call.disconnect.reason) or "",
        )
    )
    return results.Done()


async def refresh(parts: Parts, control: Control, call: RefreshCall) -> results.Done:
    """Let connections expire at another time, or now."""
    await control.give(
        RefreshOrder(
            node=parts.node_id,
            user=call.user or "",
            client=call.client or "",
            session=call.session or "",
            expired=bool(call.expired),
            expire_at=call.expire_at or 0.0,
            info=payload(call.info),
        )
    )
    return results.Done()


async def presence(parts: Parts, control: Control, call: ChannelCall) -> results.Present:
    """Who is in a channel."""
    return results.present(await presence_of(parts, call.channel or ""))


async def presence_stats(parts: Parts, control: Control, call: ChannelCall) -> PresenceStatsResult:
    """How many are in a channel."""
    return await presence_stats_of(parts, call.channel or "")


async def history(parts: Parts, control: Control, call: HistoryCall) -> results.History:
    """What was published into a channel."""
    limit = max(-1, call.limit or 0)
    return results.history(
        await history_of(parts, call.channel or "", limit, call.since, reverse=bool(call.reverse))
    )


async def history_remove(parts: Parts, control: Control, call: ChannelCall) -> results.Done:
    """Forget what was published; the position stays."""
    if not _rules(parts, call.channel).recoverable:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    await parts.broker.remove_history(call.channel or "")
    return results.Done()


async def channels(parts: Parts, control: Control, call: ChannelsCall) -> results.Channels:
    """Which channels have clients, on all nodes."""
    found = await control.channels(call.pattern or "")
    return results.Channels({name: results.Clients(clients) for name, clients in sorted(found.items())})


async def info(parts: Parts, control: Control, call: InfoCall) -> results.Nodes:
    """How the nodes are."""
    return results.Nodes(await control.nodes())


async def rpc(parts: Parts, control: Control, call: RpcCall) -> results.Done:
    """Nothing on a node answers calls of a back end."""
    raise ClientError(ErrorCode.BAD_REQUEST if not call.method else ErrorCode.NOT_AVAILABLE)
