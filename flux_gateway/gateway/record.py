"""What a node writes about itself into the registry."""

import os
import time

import msgspec

from flux_gateway import __version__
from flux_gateway.core.membership import NodeRecord
from flux_gateway.gateway.node import Node
from flux_gateway.runtime.figures import ProcessFigures
from flux_gateway.runtime.loop_watch import LoopWatch


class NodeRecords:
    """Makes the node's record. Rates are per second since the last sample."""

    def __init__(self, node: Node, figures: ProcessFigures, watch: LoopWatch) -> None:
        self._node, self._figures, self._watch = node, figures, watch
        self._counted = (time.monotonic(), 0, 0)
        self._sample: dict[str, float] = {}

    def __call__(self, sample: bool) -> NodeRecord:
        """Return the record as of now; with `sample`, take fresh process figures and rates."""
        if sample:
            self._sample = self._take()
        node, settings = self._node, self._node.settings
        record = NodeRecord(
            id=settings.id,
            host=settings.host,
            port=settings.port,
            admin_port=settings.admin_port,
            state=node.state,
            weight=settings.weight,
            version=__version__,
            connections=len(node.connections),
            started_at=node.started_at,
            heartbeat_at=time.time(),
            pid=os.getpid(),
        )
        return msgspec.structs.replace(record, **self._sample)

    def _take(self) -> dict[str, float]:
        now, traffic = time.monotonic(), self._node.counters.traffic
        since, received, sent = self._counted
        seconds = max(now - since, 1e-3)
        self._counted = (now, traffic.messages_in, traffic.messages_out)
        return {
            "rss": self._figures.rss(),
            "cpu": round(self._figures.cpu_percent("heartbeat"), 1),
            "messages_in": round((traffic.messages_in - received) / seconds, 1),
            "messages_out": round((traffic.messages_out - sent) / seconds, 1),
            "lag": round(self._watch.worst("heartbeat"), 4),
        }
