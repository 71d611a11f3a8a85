"""All sessions of a cluster of two nodes on one of them, so that as many move as there are."""

import asyncio
import time

from benchmarks.measuring.proxy_view import ProxyView
from flux_gateway.cli.local import LocalCluster

_PATIENCE = 15.0


class Herd:
    """Says which node takes sessions: first the one, then the other one too."""

    FULL, FREE = "gateway-1", "gateway-2"

    def __init__(self, mine: LocalCluster, view: ProxyView) -> None:
        self._mine, self._view = mine, view

    async def together(self) -> None:
        """Send whoever comes from now on to the one node: the other one drains."""
        for node in (self.FULL, self.FREE):
            await self._view.until(node, lambda found: bool(found["usable"]), _PATIENCE, "in routing")
        await self.drain(self.FREE, 0.0)
        await self._view.until(self.FREE, lambda node: not node["usable"], _PATIENCE, "out of routing")

    async def free(self) -> None:
        """Let the other node take sessions."""
        await asyncio.to_thread(self._mine.post, self.FREE, "/undrain")
        await self._view.until(self.FREE, lambda node: bool(node["usable"]), _PATIENCE, "back in routing")

    async def drain(self, node: str, seconds: float) -> float:
        """Begin a drain; return the monotonic time of the order."""
        ordered = time.monotonic()
        await asyncio.to_thread(self._mine.post, node, f"/drain?seconds={seconds:g}")
        return ordered
