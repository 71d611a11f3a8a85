"""Puts the messaging part of a node together, and takes it apart."""

from collections.abc import Sequence

from aiohttp import web
from prometheus_client.registry import Collector

from flux_gateway.broker.broker import Broker
from flux_gateway.gateway.messaging.api import api
from flux_gateway.gateway.messaging.counters import MessagingMetrics
from flux_gateway.gateway.messaging.endpoint import Messaging
from flux_gateway.gateway.messaging.keys import TokenKeys
from flux_gateway.gateway.messaging.orders.control import Control
from flux_gateway.gateway.messaging.plain.emulation import Emulation
from flux_gateway.gateway.messaging.plain.endpoint import HttpEndpoint
from flux_gateway.gateway.messaging.refilling import refill
from flux_gateway.gateway.messaging.secret_files import read_secrets
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.messaging.webhooks.webhooks import Webhooks
from flux_gateway.gateway.node import Node


class MessagingPart:
    """Everything of a node that is there for messaging."""

    def __init__(self, node: Node, settings: MessagingSettings, broker: Broker) -> None:
        """Raises `ConfigError` when a file with a secret cannot be read."""
        secrets = read_secrets(settings)
        self._broker = broker
        self._keys = TokenKeys(settings, secrets.keys)
        self._webhooks = Webhooks(settings)
        self.endpoint = Messaging(node, settings, broker, self._keys, self._webhooks)
        emulation = Emulation(node.settings.id, settings.max_message, broker, self.endpoint.own)
        self._http = HttpEndpoint(node, self.endpoint, emulation)
        control = Control(self.endpoint, node.started_at, {"emulation": emulation.heard})
        self.routes: Sequence[web.RouteDef] = api.routes(self.endpoint.parts, control, secrets.api_key)
        """For the admin server: the HTTP API."""
        parts = self.endpoint.parts
        broker.on_gap = lambda channels: refill(parts.hub, channels)
        self.metrics: Collector = MessagingMetrics(
            parts.counters,
            lambda: len(self.endpoint.clients),
            lambda: len(parts.hub.channels),
            lambda: len(parts.turnstile),
            lambda: broker.available,
            self._webhooks.counters,
        )

    async def start(self) -> None:
        """Begin to work, before the node listens."""
        self._keys.start()
        await self._broker.start()
        self.endpoint.open_up()
        self._http.open_up()

    async def close(self) -> None:
        """End every task and connection."""
        await self.endpoint.close()
        await self._broker.close()
        await self._webhooks.close()
        await self._keys.close()
