"""What a proxy counts, and how it is shown at `/metrics`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flux_gateway.core.liveness import LinkState
from flux_gateway.proxy.nodes import Node


class ProxyCounters:
    """Plain integers, so that counting costs next to nothing on the hot path."""

    def __init__(self) -> None:
        self.accepted = 0
        self.opened = 0
        self.retries = 0
        """Handshakes sent on to the next rank."""
        self.refused: Counter[str] = Counter()
        """Clients refused, by HTTP status or reason."""
        self.closed: Counter[str] = Counter()
        """Relayed connections ended, by cause."""
        self.connections = 0


_Reading = tuple[str, str, Callable[[Node], float]]

_NODE_GAUGES: tuple[_Reading, ...] = (
    ("flux_proxy_node_connections", "Connections relayed to the node", lambda node: len(node.relays)),
    ("flux_proxy_node_link_up", "1 while the link is up", lambda node: float(node.health.state is LinkState.UP)),
)
_NODE_TOTALS: tuple[_Reading, ...] = (
    ("flux_proxy_node_dial_failures", "Dials that failed", lambda node: node.dial_failures),
    ("flux_proxy_node_sessions_opened", "Sessions opened on the node", lambda node: node.opened),
    ("flux_proxy_node_bytes_up", "Bytes relayed to the node", lambda node: node.bytes_up),
    ("flux_proxy_node_bytes_down", "Bytes relayed from the node", lambda node: node.bytes_down),
)


class ProxyMetrics(Collector):
    """Reads the counters when Prometheus asks."""

    def __init__(self, counters: ProxyCounters, nodes: Mapping[str, Node]) -> None:
        self._counters, self._nodes = counters, nodes

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the proxy."""
        counters = self._counters
        yield GaugeMetricFamily("flux_proxy_connections", "Client connections held", counters.connections)
        for name, text, value in (
            ("flux_proxy_connections_accepted", "TCP connections accepted", counters.accepted),
            ("flux_proxy_sessions_opened", "Handshakes answered by a node", counters.opened),
            ("flux_proxy_dial_retries", "Handshakes sent on to the next rank", counters.retries),
        ):
            yield CounterMetricFamily(name, text, value)
        for name, text, label, counts in (
            ("flux_proxy_clients_refused", "Clients refused", "reason", counters.refused),
            ("flux_proxy_sessions_closed", "Relayed connections ended", "cause", counters.closed),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value_of_label, count in counts.items():
                family.add_metric([value_of_label], count)
            yield family
        yield from self._by_node()

    def _by_node(self) -> Iterable[Metric]:
        for name, text, value in _NODE_GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=["node"])
            for node in self._nodes.values():
                gauge.add_metric([node.id], value(node))
            yield gauge
        for name, text, value in _NODE_TOTALS:
            counter = CounterMetricFamily(name, text, labels=["node"])
            for node in self._nodes.values():
                counter.add_metric([node.id], value(node))
            yield counter
