"""The command `publish`, and the way of every publication to Redis."""

from flux_gateway.gateway.messaging.channels.retention import retention
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.gateway.messaging.webhooks.webhooks import Caller
from flux_gateway.messaging import permissions
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, ErrorCode
from flux_gateway.messaging.commands import Command, PublishRequest
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import ClientInfo, Publication
from flux_gateway.messaging.results import PublishResult


async def publish(parts: Parts, client: Client, command: Command, request: PublishRequest) -> None:
    """Carry out `publish`. Raises `ClientError`, `Disconnect` and `BrokerUnavailable`."""
    if not request.channel:
        raise Disconnect(CloseCode.BAD_REQUEST)
    if not request.data:
        raise ClientError(ErrorCode.BAD_REQUEST)
    if request.type:
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    name, rules = parts.channels.rules(request.channel)
    subscription = client.subscriptions.get(request.channel)
    data, extra = request.data, Extra()
    if rules.publish_proxy_enabled and parts.webhooks.asks("publish"):
        answer = await parts.webhooks.publish(Caller.of(client), request.channel, request.data)
        data = answer.data or data
        extra = Extra(answer.skip_history, dict(answer.tags), answer.idempotency_key, answer.version)
    elif not permissions.may_publish(
        rules, client.user, subscription is not None, parts.settings.insecure, name
    ):
        raise ClientError(ErrorCode.PERMISSION_DENIED)
    await publish_to(parts, request.channel, rules, data, info=client.client_info(subscription), extra=extra)
    client.reply(command, PublishResult())


class Extra:
    """What a back end may say about a publication beside its data (facts, section 12)."""

    __slots__ = ("idempotency_key", "skip_history", "tags", "version", "version_epoch")

    def __init__(
        self,
        skip_history: bool = False,
        tags: dict[str, str] | None = None,
        idempotency_key: str = "",
        version: int = 0,
        version_epoch: str = "",
    ) -> None:
        self.skip_history = skip_history
        self.tags = tags or {}
        self.idempotency_key = idempotency_key
        self.version, self.version_epoch = version, version_epoch


async def publish_to(
    parts: Parts,
    channel: str,
    rules: Namespace,
    data: bytes,
    *,
    info: ClientInfo | None = None,
    extra: Extra | None = None,
) -> Position | None:
    """Publish, and return the position in the channel's history, None where there is none.

    Raises `BrokerUnavailable`.
    """
    kept, extra = retention(rules, parts.settings), extra or Extra()
    publication = Publication(data=data, info=info, tags=extra.tags, time=int(parts.wall_clock() * 1000))
    position = await parts.broker.publish(
        channel,
        publication,
        size=kept.size,
        ttl=kept.ttl,
        meta_ttl=kept.meta_ttl,
        idempotency_key=extra.idempotency_key,
        idempotency_ttl=parts.settings.idempotency_ttl,
        version=extra.version,
        version_epoch=extra.version_epoch,
        # The window of a channel without history is for moving sessions, so nothing is left out of it.
        skip_history=extra.skip_history and rules.recoverable,
    )
    parts.counters.publications += 1
    return position if rules.recoverable else None
