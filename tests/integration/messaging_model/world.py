"""Three nodes, one Redis, and a loop for the clients: what lives for a whole module."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tests.processes import Stack

T = TypeVar("T")

HISTORY = 10_000
SHORT = 5
"""Publications that the channels of namespace `short` keep: who misses more is told."""

PRESENCE_TTL = 5.0
CONNECT_TIMEOUT = 3.0

_EVERYTHING = {"presence": True, "join_leave": True, "force_push_join_leave": True}
_RECOVERED = {**_EVERYTHING, "history_ttl": 600, "force_recovery": True, "force_positioning": True}

SETTINGS: dict[str, Any] = {
    "messaging_insecure": "true",
    "messaging_default": json.dumps(_EVERYTHING),
    "messaging_namespaces": json.dumps({
        "whole": {**_RECOVERED, "history_size": HISTORY}, "short": {**_RECOVERED, "history_size": SHORT},
    }),
    "messaging_recovery_limit": HISTORY,
    "messaging_position_check": 1,
    "messaging_presence_interval": 1,
    "messaging_presence_ttl": PRESENCE_TTL,
    "messaging_move_window": 600,
    "messaging_move_window_size": HISTORY,
    "messaging_connect_timeout": CONNECT_TIMEOUT,
    "messaging_ping_interval": 5,
    "messaging_ping_timeout": 4,
    "redis_timeout": 1,
    "drain_timeout": 1,
}  # fmt: skip


class World:
    """Coroutines run on a loop of their own, so that clients never stand still."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.redis = stack.redis()
        for _ in range(3):
            stack.gateway(wait=False, **SETTINGS)
        for node in stack.nodes:
            node.wait_ready()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="clients")
        self._thread.start()
        self._said = {node.name: 0 for node in stack.nodes}

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        """Run a coroutine, and return what it returns."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(seconds)

    def close(self) -> None:
        """Stop the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def tracebacks(self) -> list[str]:
        """Return what nodes have logged since the last call, of those that logged a traceback."""
        found = []
        for node in self.stack.nodes:
            said = node.said()
            new, self._said[node.name] = said[self._said[node.name] :], len(said)
            if "Traceback" in new:
                found.append(f"{node.name}:\n{new[new.index('Traceback') - 500 :][:4000]}")
        return found
