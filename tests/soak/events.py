"""What befalls a cluster in a soak: each event is a command as an operator gives it, or a fault of the supervisor."""

import time
from collections.abc import Callable, Iterator
from random import Random

from flux_gateway.cli.local import LocalCluster
from tests.cluster import FluxCluster
from tests.processes import until
from tests.soak.books import PROXY, Books

HANG = 4.0
"""Seconds that a node hangs: longer than the silence after which it is left."""

HELD_OFF = 45.0
"""Seconds after which a node is used again, however often it was killed: 30 s at most, and its own start."""


class Events:
    """Draws events in rounds: each kind comes up once a round, in random order, on random nodes."""

    def __init__(self, cluster: FluxCluster, local: LocalCluster, books: Books, rng: Random) -> None:
        self._cluster, self._local, self._books, self._rng = cluster, local, books, rng
        self._kinds: dict[str, Callable[[], str]] = {
            "drain": self._drain,
            "restart node": self._restart_node,
            "rolling restart": self._rolling_restart,
            "scale": self._scale,
            "kill node": self._kill_node,
            "hang node": self._hang_node,
            "restart proxy": self._restart_proxy,
            "kill proxy": self._kill_proxy,
            "kill keeper": self._kill_keeper,
        }

    @property
    def kinds(self) -> int:
        """How many kinds there are."""
        return len(self._kinds)

    def __iter__(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield (kind, what to call) without end. The call returns what it was about."""
        while True:
            kinds = list(self._kinds)
            self._rng.shuffle(kinds)
            for kind in kinds:
                yield kind, self._kinds[kind]

    def _node(self) -> str:
        """Return a node that clients are sent to, is not the only one, and has not only just begun to fill."""
        usable = self._books.usable()
        assert len(usable) > 1, usable
        held = {node: self._books.info(node)["connections"] for node in usable}
        return self._rng.choice([node for node in usable if held[node] > max(held.values()) / 4])

    def _drain(self) -> str:
        node = self._node()
        self._cluster.flux("drain", node, "--wait")
        self._cluster.flux("undrain", node)
        return node

    def _restart_node(self) -> str:
        node = self._node()
        self._cluster.flux("restart", node)
        return node

    def _rolling_restart(self) -> str:
        # It refuses to begin while a node is held off because its link has flapped.
        until(lambda: len(self._books.usable()) == len(self._books.gateways()), "every node is used", HELD_OFF)
        options = self._rng.choice([(), ("--proxies",)])
        self._cluster.flux("rolling-restart", *options)
        return " ".join(options)

    def _scale(self) -> str:
        count = 3 if len(self._books.gateways()) > 3 else 4
        self._cluster.flux("scale", str(count))
        if count == 4:
            self._cluster.flux("rebalance", "--now")
        else:
            self._cluster.flux("forget", "gateway-4")
        return f"to {count}"

    def _kill_node(self) -> str:
        node = self._node()
        self._local.ask("kill", name=node)
        return node

    def _hang_node(self) -> str:
        node = self._node()
        self._local.ask("hang", name=node, seconds=HANG)
        time.sleep(HANG)
        return node

    def _restart_proxy(self) -> str:
        self._cluster.flux("restart", PROXY)
        return PROXY

    def _kill_proxy(self) -> str:
        self._local.ask("kill", name=PROXY)
        return PROXY

    def _kill_keeper(self) -> str:
        self._local.ask("kill", name="keeper-1")
        return "keeper-1"
