"""What the commands of a client are carried out with."""

from collections.abc import Callable
from dataclasses import dataclass

from flux_gateway.broker.broker import Broker
from flux_gateway.gateway.keepalive import Keepalive
from flux_gateway.gateway.messaging.channels.hub import Hub
from flux_gateway.gateway.messaging.counters import MessagingCounters
from flux_gateway.gateway.messaging.expiries import Expiries
from flux_gateway.gateway.messaging.keys import TokenKeys
from flux_gateway.gateway.messaging.records import Records
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.messaging.turnstile import Turnstile
from flux_gateway.gateway.messaging.webhooks.webhooks import Webhooks
from flux_gateway.messaging.channels import Channels


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of messaging on one node; put together in `gateway.messaging.endpoint`."""

    node_id: str
    settings: MessagingSettings
    channels: Channels
    broker: Broker
    hub: Hub
    records: Records
    webhooks: Webhooks
    keys: TokenKeys
    expiries: Expiries
    turnstile: Turnstile
    pings: Keepalive
    counters: MessagingCounters
    wall_clock: Callable[[], float]
    """Unix seconds."""

    def ttl(self, expire_at: float) -> int:
        """Return the whole seconds until unix time `expire_at`, as clients are told: never 0, which would be none."""
        return max(1, round(expire_at - self.wall_clock()))
