"""What a proxy counts, and how it is shown at `/metrics`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from flux_gateway.core.liveness import LinkState
from flux_gateway.proxy.move_figures import MoveFigures
from flux_gateway.proxy.nodes import Node
from flux_gateway.runtime.metrics import counted


class ProxyCounters:
    """Plain integers, so that counting costs next to nothing on the hot path."""

    def __init__(self) -> None:
        self.accepted = 0
        self.opened = 0
        self.requests: Counter[str] = Counter()
        """Plain HTTP requests answered by a node, by path."""
        self.retries = 0
        """Handshakes sent on to the next rank."""
        self.refused: Counter[str] = Counter()
        """Clients refused, by HTTP status or reason."""
        self.closed: Counter[str] = Counter()
        """Relayed connections ended, by cause."""
        self.connections = 0
        self.taken_over = 0
        """Connections of the process before that went on in this one."""
        self.given_up: Counter[str] = Counter()
        """Connections of the process before that could not go on, by cause."""


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

    def __init__(self, counters: ProxyCounters, moves: MoveFigures, nodes: Mapping[str, Node]) -> None:
        self._counters, self._moves, self._nodes = counters, moves, nodes

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the proxy."""
        counters = self._counters
        yield GaugeMetricFamily("flux_proxy_connections", "Client connections held", counters.connections)
        for name, text, value in (
            ("flux_proxy_connections_accepted", "TCP connections accepted", counters.accepted),
            ("flux_proxy_sessions_opened", "Handshakes answered by a node", counters.opened),
            ("flux_proxy_dial_retries", "Handshakes sent on to the next rank", counters.retries),
            ("flux_proxy_connections_taken_over", "Connections taken over from the keeper", counters.taken_over),
        ):
            yield CounterMetricFamily(name, text, value)
        yield counted("flux_proxy_requests", "Plain HTTP requests answered by a node", ["path"], counters.requests)
        yield counted("flux_proxy_clients_refused", "Clients refused", ["reason"], counters.refused)
        yield counted("flux_proxy_sessions_closed", "Relayed connections ended", ["cause"], counters.closed)
        yield counted("flux_proxy_connections_given_up", "Not taken over from the keeper", ["cause"], counters.given_up)
        yield from self._by_node()
        yield from self._of_moves()

    def _of_moves(self) -> Iterable[Metric]:
        moves = self._moves
        yield counted("flux_proxy_sessions_moved", "Sessions now at another node", ["reason"], moves.done)
        closed = "Sessions that could not be moved and were closed"
        yield counted("flux_proxy_moves_failed", closed, ["reason", "cause"], moves.failed)
        yield counted("flux_proxy_moves_refused", "Sessions that could not move yet", ["cause"], moves.refused)
        pauses = HistogramMetricFamily(
            "flux_proxy_move_pause_seconds", "Time in which a moving client was not read", labels=["reason"]
        )
        for reason, pause in moves.pauses.items():
            pauses.add_metric([reason], pause.buckets(), pause.sum)
        yield pauses

    def _by_node(self) -> Iterable[Metric]:
        for name, text, value in _NODE_GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=["node"])
            for node in self._nodes.values():
                gauge.add_metric([node.id], value(node))
            yield gauge
        for name, text, value in _NODE_TOTALS:
            yield counted(name, text, ["node"], {node.id: value(node) for node in self._nodes.values()})
