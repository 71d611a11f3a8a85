"""What messaging counts on a node, and how it is shown at `/metrics`."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flux_gateway.gateway.messaging.webhooks.webhooks import WebhookCounters
from flux_gateway.runtime.metrics import counted


class MessagingCounters:
    """Plain integers, so that counting costs next to nothing."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        """Commands carried out, by name."""
        self.errors: Counter[tuple[str, str]] = Counter()
        """Commands answered with an error, by (name, code)."""
        self.publications = 0
        """Publications sent on by this node to Redis."""
        self.recovered = 0
        self.unrecovered = 0
        self.insufficient = 0
        """Subscriptions told to come anew, since something was missed or the node before is gone."""
        self.restored: Counter[str] = Counter()
        """Sessions whose node was gone, by what was known of them."""


class MessagingMetrics(Collector):
    """Reads the counters when Prometheus asks."""

    def __init__(
        self, counters: MessagingCounters, clients: Callable[[], int], channels: Callable[[], int],
        queued: Callable[[], int], available: Callable[[], bool], webhooks: WebhookCounters,
    ) -> None:  # fmt: skip
        self._counters = counters
        self._webhooks = webhooks
        self._clients, self._channels, self._queued, self._available = clients, channels, queued, available

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of messaging."""
        counters = self._counters
        for name, text, value in (
            ("flux_messaging_clients", "Clients that have connected", self._clients()),
            ("flux_messaging_channels", "Channels heard on this node", self._channels()),
            ("flux_messaging_connects_queued", "Connects that wait for their turn", self._queued()),
            ("flux_messaging_broker_up", "1 while Redis answers", int(self._available())),
        ):
            yield GaugeMetricFamily(name, text, value)
        for name, text, value in (
            ("flux_messaging_publications", "Publications sent on to Redis", counters.publications),
            ("flux_messaging_recovered", "Subscriptions that got all they had missed", counters.recovered),
            ("flux_messaging_unrecovered", "Subscriptions that had missed too much", counters.unrecovered),
            ("flux_messaging_insufficient", "Subscriptions told to come anew", counters.insufficient),
        ):
            yield CounterMetricFamily(name, text, value)
        yield counted("flux_messaging_commands", "Commands carried out", ["command"], counters.commands)
        yield counted("flux_messaging_errors", "Commands answered with an error", ["command", "code"], counters.errors)
        yield counted(
            "flux_messaging_restored", "Sessions of nodes that are gone, by record", ["record"], counters.restored
        )
        yield counted(
            "flux_messaging_webhooks", "Questions to webhooks", ["event", "outcome"], self._webhooks.outcomes
        )
        yield counted("flux_messaging_webhook_seconds", "Seconds spent on them", ["event"], self._webhooks.seconds)
