"""What a proxy says of itself, asked often: over one connection, which costs it a fraction of a millisecond."""

import asyncio
import http.client
import time
from collections.abc import Callable
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.peers import addresses
from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.settings import PROXY_ADMIN_PORT

_LOOK = 0.02
_PATIENCE = 5.0


class ProxyView:
    """The admin HTTP of the cluster's proxy. A context manager."""

    def __init__(self) -> None:
        host = f"127.{addresses.CLUSTER_NETWORK}.2.1"
        self._connection = http.client.HTTPConnection(host, PROXY_ADMIN_PORT, timeout=_PATIENCE)

    def __enter__(self) -> "ProxyView":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _get(self, path: str) -> bytes:
        self._connection.request("GET", path)
        return self._connection.getresponse().read()

    async def read(self, path: str) -> Any:
        """Return a page that is JSON."""
        return msgspec.json.decode(await asyncio.to_thread(self._get, path))

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name with these labels; 0 when there are none."""
        text = (await asyncio.to_thread(self._get, "/metrics")).decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def until(self, node: str, true: Callable[[dict[str, Any]], bool], seconds: float, what: str) -> float:
        """Wait until something is true of a node; return the monotonic time when it was.

        Raises `CommandError` naming it when it does not become so.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = (await self.read("/info"))["nodes"].get(node, {})
            now = time.monotonic()
            if found and true(found):
                return now
            if now > deadline:
                raise CommandError(f"not within {seconds:g} s: {what} (the proxy says of {node}: {found})")
            await asyncio.sleep(_LOOK)
