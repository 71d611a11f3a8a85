"""What a node counts, and how it is shown at `/metrics`."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flux_gateway.core.session import Traffic


class NodeCounters:
    """Plain integers, so that counting costs next to nothing on the hot path."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.accepted = 0
        self.opened = 0
        self.refused: Counter[str] = Counter()
        """Handshakes refused, by reason."""
        self.closed: Counter[tuple[str, str]] = Counter()
        """Sessions ended, by (close code, who started)."""
        self.overflows = 0
        self.ping_timeouts = 0


class NodeMetrics(Collector):
    """Reads the counters when Prometheus asks."""

    def __init__(
        self, counters: NodeCounters, connections: Callable[[], int], state: Callable[[], str], lag: Callable[[], float]
    ) -> None:
        self._counters = counters
        self._connections, self._state, self._lag = connections, state, lag

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the node."""
        counters, traffic = self._counters, self._counters.traffic
        yield GaugeMetricFamily("flux_node_connections", "Client connections held", self._connections())
        state = GaugeMetricFamily("flux_node_state", "1 for the state the node is in", labels=["state"])
        state.add_metric([self._state()], 1)
        yield state
        yield GaugeMetricFamily("flux_node_loop_lag_seconds", "Worst event-loop delay since last scrape", self._lag())
        for name, text, value in (
            ("flux_node_connections_accepted", "TCP connections accepted", counters.accepted),
            ("flux_node_sessions_opened", "WebSocket handshakes completed", counters.opened),
            ("flux_node_messages_in", "Messages received from clients", traffic.messages_in),
            ("flux_node_messages_out", "Messages sent to clients", traffic.messages_out),
            ("flux_node_bytes_in", "Message payload bytes received", traffic.bytes_in),
            ("flux_node_bytes_out", "Message payload bytes sent", traffic.bytes_out),
            ("flux_node_outbox_overflows", "Slow clients closed for a full outbox", counters.overflows),
            ("flux_node_ping_timeouts", "Clients closed for a missing pong", counters.ping_timeouts),
        ):
            yield CounterMetricFamily(name, text, value)
        refused = CounterMetricFamily("flux_node_handshakes_refused", "Handshakes refused", labels=["reason"])
        for reason, count in counters.refused.items():
            refused.add_metric([reason], count)
        yield refused
        closed = CounterMetricFamily("flux_node_sessions_closed", "Sessions ended", labels=["code", "by"])
        for (code, by), count in counters.closed.items():
            closed.add_metric([code, by], count)
        yield closed
