"""`/connection/websocket`: clients from their first byte to their last, on this node (design, section 9)."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from flux_gateway.broker.broker import Broker
from flux_gateway.broker.refresh import LifeSign
from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.errors import BrokerUnavailable, ThawError
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.http_head import RequestHead
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.messaging import restoring
from flux_gateway.gateway.messaging.channels.hub import Hub
from flux_gateway.gateway.messaging.channels.retention import retention
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client, Stage
from flux_gateway.gateway.messaging.clients import Clients
from flux_gateway.gateway.messaging.commands import calling, connecting, publishing, reading, refreshing, subscribing
from flux_gateway.gateway.messaging.commands.entering import abandon
from flux_gateway.gateway.messaging.counters import MessagingCounters
from flux_gateway.gateway.messaging.departures import Departures
from flux_gateway.gateway.messaging.encodings import BY_NAME, WEBSOCKET_JSON, WEBSOCKET_PROTOBUF, Encoding
from flux_gateway.gateway.messaging.expiries import Expiries
from flux_gateway.gateway.messaging.keys import TokenKeys
from flux_gateway.gateway.messaging.pace import Pace
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.gateway.messaging.records import Records
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.messaging.turnstile import Turnstile
from flux_gateway.gateway.messaging.webhooks.webhooks import Webhooks
from flux_gateway.gateway.node import Node
from flux_gateway.messaging import state
from flux_gateway.messaging.codes import (
    ClientError,
    CloseCode,
    Disconnect,
    ErrorCode,
    UnsubscribeCode,
)
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.state import ClientState

log = logging.getLogger(__name__)

PATH = "/connection/websocket"

_BROKEN = 1006
"""What a session without any close frame ends with (RFC 6455, section 7.1.5)."""

_SWEEP = 0.5
"""Seconds between two looks at what is due."""

_RETURN = 25.0
"""Seconds for a client that was told to subscribe anew to do so; then it has left the channel."""

_LEAVE = 5.0
"""Seconds for a client whose `connect` was refused to leave by itself."""

_LIMBO = 10.0
"""Seconds for a session that broke off to turn up on another node: longer than a proxy tries to move it."""

_PROTOBUF = "centrifuge-protobuf"
_JSON = "centrifuge-json"

Carry = Callable[[Parts, Client, Command, Any], Awaitable[None]]

_COMMANDS: dict[str, Carry] = {
    "connect": connecting.connect,
    "subscribe": subscribing.subscribe,
    "unsubscribe": subscribing.unsubscribe,
    "publish": publishing.publish,
    "presence": reading.presence,
    "presence_stats": reading.presence_stats,
    "history": reading.history,
    "rpc": calling.rpc,
    "send": calling.send,
    "refresh": refreshing.refresh,
    "sub_refresh": refreshing.sub_refresh,
}
"""By name; `ping` is known, too, but not available (facts, section 4)."""


class Messaging:
    """The messaging part of a node. Owns its clients and every task that works for them."""

    def __init__(
        self, node: Node, settings: MessagingSettings, broker: Broker, keys: TokenKeys, webhooks: Webhooks
    ) -> None:
        self.max_message = settings.max_message
        self.clients = Clients()
        self._node = node
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()
        self.parts = Parts(
            node_id=node.settings.id,
            settings=settings,
            channels=settings.channels(),
            broker=broker,
            hub=Hub(broker, node.counters.traffic, lambda rules: retention(rules, settings), self.own),
            records=Records(broker, settings.record_ttl, self.own),
            webhooks=webhooks,
            keys=keys,
            expiries=Expiries(settings.refresh_grace),
            turnstile=Turnstile(settings.connect_rate, settings.connect_queue),
            pings=node.wheel(settings.ping_interval, settings.ping_timeout),
            counters=MessagingCounters(),
            wall_clock=node.wall_clock,
        )
        broker.on_back = self._on_back
        self.on_arrival: Callable[[Client], None] = lambda client: None
        """Called with every client that has connected, or comes from another node and may still have to be restored."""
        self.orders: Callable[[Client], list[str]] = lambda client: []
        """Returns the ids of the orders of the last seconds for a client."""
        self.known = self.clients.know
        self._departures = Departures(broker, self.own)
        self._unconnected: Deadlines[Client] = Deadlines(settings.connect_timeout)
        self._touched: Deadlines[Client] = Deadlines(settings.presence_interval)
        self._returning: Deadlines[Client] = Deadlines(_RETURN)
        self._refused: Deadlines[Client] = Deadlines(_LEAVE)
        self._missing: Deadlines[Client] = Deadlines(_LIMBO)
        """Clients whose connection broke without a word: they may just be on their way to another node."""
        self._checked_at = 0.0

    def open_up(self) -> None:
        """Serve the path, and do what comes up periodically. Call it before the node listens."""
        self._node.stateful[PATH] = self
        self._node.every(_SWEEP, self._sweep)

    async def close(self) -> None:
        """End every task."""
        self.parts.turnstile.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Tasks.

    def own(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run it in a task that ends with the node at the latest."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("messaging: %s", task.get_name(), exc_info=task.exception())

    # As an endpoint of the node.

    def subprotocol(self, head: RequestHead) -> str:
        """Return the sub-protocol to answer with: the first one offered that is known here."""
        offered = [part.strip() for part in head.header("sec-websocket-protocol").split(",")]
        return next((one for one in offered if one in (_PROTOBUF, _JSON)), "")

    def open(self, head: RequestHead, session_id: str) -> Client:
        """Return a client that has not connected yet."""
        query = parse_qs(head.query)
        binary = (
            self.subprotocol(head) == _PROTOBUF
            or "protobuf" in query.get("format", ())
            or "protobuf" in query.get("cf_protocol", ())
        )
        return self._new(session_id, WEBSOCKET_PROTOBUF if binary else WEBSOCKET_JSON, self._passed_on(head))

    def open_stream(self, head: RequestHead, session_id: str, encoding: Encoding) -> Client:
        """Return a client that has not connected yet, and whose commands come by other requests."""
        client = self._new(session_id, encoding, self._passed_on(head))
        client.secret = secrets.token_hex(16)
        return client

    def _passed_on(self, head: RequestHead) -> dict[str, str]:
        """Return the headers that webhooks get."""
        wanted = self._settings.webhook_headers
        return {name: head.header(name.lower()) for name in wanted if head.header(name.lower())}

    def _new(self, session_id: str, encoding: Encoding, headers: dict[str, str]) -> Client:
        client = Client(self, session_id, encoding, headers)
        if self._settings.commands_per_second or self._settings.bytes_per_second:
            client.pace = Pace(self._settings.commands_per_second, self._settings.bytes_per_second, self.now())
        return client

    def thaw(self, kept: Frozen) -> Client:
        """Return the client of a session that comes from another node. Raises `ThawError`."""
        client = self._new(kept.session, WEBSOCKET_JSON, {})
        if kept.application:
            frozen = state.decode(kept.application)
            if frozen.encoding not in BY_NAME:
                raise ThawError(f"this node has no encoding {frozen.encoding!r}")
            try:
                restoring.take_over(self.parts, client, frozen)
            except ClientError as error:
                raise ThawError(f"a channel of this client is not configured here: {error}") from error
            client.stage = Stage.CONNECTED if frozen.client else Stage.NEW
            client.thawed = frozen
        else:
            client.stage = Stage.RESTORING
            client.thawed = ClientState()
        return client

    def started(self, connection: Connection) -> None:
        """The session has its connection."""
        client = connection.session.application
        assert isinstance(client, Client)
        client.bind(connection)
        self.clients.add(client)
        kept, client.thawed = client.thawed, None
        if client.stage is Stage.RESTORING:
            client.forgiven = True
            self.own(self._restore(client), "restore")
        elif client.stage is Stage.NEW:
            self._unconnected.add(client, self.now())
        if kept is None:
            return
        if client.present:
            self._touched.add(client, self.now())
            self._returning.add(client, self.now())
            self.parts.expiries.watch(client)
            self.parts.records.later(client)
            for subscription in client.subscriptions.values():
                self.parts.expiries.watch(subscription)
                self.own(restoring.take_up(self.parts, subscription), "take up")
            self.parts.pings.add_due(connection, kept.ping_in)
        if kept.undone:
            client.take(list(kept.undone))
        self.on_arrival(client)

    async def _restore(self, client: Client) -> None:
        await restoring.restore(self.parts, client)
        if client.present:
            self._touched.add(client, self.now())
            self._returning.add(client, self.now())
        elif client.stage is Stage.NEW:
            self._unconnected.add(client, self.now())

    # As the owner of clients.

    def now(self) -> float:
        """Monotonic seconds."""
        return self._node.now()

    def start(self, client: Client) -> "asyncio.Task[None]":
        """Run the client's work in a task."""
        return self.own(self._work(client), "commands")

    async def _work(self, client: Client) -> None:
        try:
            await client.work()
        except Exception:
            client.disconnect(Disconnect(CloseCode.INTERNAL))
            raise

    async def carry_out(self, client: Client, command: Command) -> None:
        """Carry out one command and answer it. Raises `ClientError` and `Disconnect`."""
        counters = self.parts.counters
        counters.commands[command.name] += 1
        carry = _COMMANDS.get(command.name)
        if command.name == "connect":
            self._unconnected.discard(client)
        try:
            if carry is None:
                raise ClientError(ErrorCode.NOT_AVAILABLE)
            await carry(self.parts, client, command, command.request)
        except BrokerUnavailable as error:
            counters.errors[command.name, str(int(ErrorCode.INTERNAL))] += 1
            raise ClientError(ErrorCode.INTERNAL) from error
        except ClientError as error:
            counters.errors[command.name, str(int(error.code))] += 1
            raise
        finally:
            if client.stage is Stage.NEW:
                self._refused.add(client, self.now())
        if command.name == "connect" and client.present:
            self._touched.add(client, self.now())
            self.on_arrival(client)

    def insufficient(self, client: Client, subscription: Subscription) -> None:
        """The client has missed publications of a channel: it is to subscribe anew from its position."""
        self.parts.counters.insufficient += 1
        if subscription.server_side:
            client.disconnect(Disconnect(CloseCode.INSUFFICIENT_STATE))
            return
        abandon(self.parts, subscription)
        client.resuming[subscription.channel] = subscription
        self._returning.add(client, self.now())
        client.unsubscribed(subscription.channel, UnsubscribeCode.INSUFFICIENT)

    def position(self, subscription: Subscription) -> Position:
        """How far the client has been served in a channel."""
        return self.parts.hub.position(subscription)

    def ping_due(self, client: Client) -> float:
        """Seconds to the client's next ping."""
        return self.parts.pings.due(client.connection)

    def silence(self, client: Client) -> None:
        """Nothing more may be sent to the client."""
        for subscription in client.subscriptions.values():
            self.parts.hub.leave(subscription)

    def let_go(self, client: Client) -> None:
        """The session goes on elsewhere."""
        self.silence(client)
        self._forget(client)
        client.subscriptions.clear()

    def gone(self, client: Client) -> None:
        """The client has left for good: so it is told to Redis and to the others."""
        self.silence(client)
        self._forget(client)
        if not client.id:
            return
        code, _ = client.connection.session.outcome()
        if client.connection.proxy_id and code == _BROKEN:
            self._missing.add(client, self.now())
        else:
            self._depart(client)

    def _depart(self, client: Client) -> None:
        left = [*client.subscriptions.values(), *client.resuming.values()]
        self._departures.add(client, client.connection.session.fence, left)
        client.subscriptions = {}
        client.resuming = {}

    def _forget(self, client: Client) -> None:
        self.clients.discard(client)
        self.parts.pings.discard(client.connection)
        self.parts.records.forget(client)
        for deadlines in (self._unconnected, self._touched, self._returning, self._refused):
            deadlines.discard(client)

    def _on_back(self) -> None:
        self.parts.hub.on_back()
        self.parts.records.on_back()

    # Periodic work.

    def _sweep(self) -> None:
        now = self.now()
        for client in self._unconnected.expired(now):
            # One that was reattached may have connected elsewhere, before Redis lost all: it has to come back.
            client.disconnect(Disconnect(CloseCode.FORCE_RECONNECT if client.forgiven else CloseCode.STALE))
        for client in self._refused.expired(now):
            client.disconnect(Disconnect(CloseCode.STALE))
        for client in self._missing.expired(now):
            self._depart(client)
        for client, channel in self.parts.expiries.due(self._node.wall_clock()):
            client.carry(partial(refreshing.expire, self.parts, client, channel))
        touched = [client for client in self._touched.expired(now) if client.present]
        for client in touched:
            self._touched.add(client, now)
        if touched:
            self.own(self._touch(touched), "presence")
        for client in self._returning.expired(now):
            left = [one for one in client.resuming.values() if one.channel not in client.subscriptions]
            client.resuming = {}
            if left:
                self._departures.leave(client, left)
        if now - self._checked_at >= self._settings.position_check:
            self._checked_at = now
            self.own(self.parts.hub.check(), "positions")

    async def _touch(self, clients: list[Client]) -> None:
        """Say that these clients are still there."""
        settings = self._settings
        # Looked at when its turn comes: who has left meanwhile must not be brought back.
        signs = (
            LifeSign(
                client.session_id,
                client.user if settings.connections_per_user else "",
                client.id,
                [(one.channel, client.client_info(one)) for one in client.subscriptions.values() if one.presence],
            )
            for client in clients
            if client.present
        )
        with suppress(BrokerUnavailable):
            missing = set(
                await self.parts.broker.touch(signs, presence_ttl=settings.presence_ttl, record_ttl=settings.record_ttl)
            )
            for client in clients:
                if client.present and client.session_id in missing:
                    self.parts.records.later(client)
