"""What a node counts, and how it is shown at `/metrics`."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flux_gateway.core.session import Traffic
from flux_gateway.runtime.metrics import counted


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
        self.attached: Counter[str] = Counter()
        """Sessions that came from other nodes, by reason: move or reattach."""
        self.attach_refused: Counter[str] = Counter()
        """Sessions from other nodes that were not taken, by HTTP status."""
        self.released = 0
        """Sessions handed to other nodes."""
        self.release_refused: Counter[str] = Counter()
        """Sessions that could not be frozen at the end of their stream, by reason."""
        self.dropped = 0
        """Copies of sessions that were attached elsewhere meanwhile."""
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
            ("flux_node_sessions_opened", "WebSocket handshakes and HTTP streams opened", counters.opened),
            ("flux_node_messages_in", "Messages received from clients", traffic.messages_in),
            ("flux_node_messages_out", "Messages sent to clients", traffic.messages_out),
            ("flux_node_bytes_in", "Message payload bytes received", traffic.bytes_in),
            ("flux_node_bytes_out", "Message payload bytes sent", traffic.bytes_out),
            ("flux_node_sessions_released", "Sessions moved to other nodes", counters.released),
            ("flux_node_sessions_dropped", "Copies given up for a session attached elsewhere", counters.dropped),
            ("flux_node_outbox_overflows", "Slow clients closed for a full outbox", counters.overflows),
            ("flux_node_ping_timeouts", "Clients closed for a missing pong", counters.ping_timeouts),
        ):
            yield CounterMetricFamily(name, text, value)
        for name, text, label, counts in (
            ("flux_node_handshakes_refused", "Handshakes refused", "reason", counters.refused),
            ("flux_node_sessions_attached", "Sessions taken over from other nodes", "reason", counters.attached),
            ("flux_node_attaches_refused", "Sessions from other nodes not taken", "status", counters.attach_refused),
            ("flux_node_releases_refused", "Sessions that could not be frozen", "reason", counters.release_refused),
        ):
            yield counted(name, text, [label], counts)
        yield counted("flux_node_sessions_closed", "Sessions ended", ["code", "by"], counters.closed)
