"""How many sessions the proxies move meanwhile, counted over their own restarts, too."""

import asyncio
from collections import Counter

import msgspec

from flux_gateway.cli.cluster import Cluster
from flux_gateway.core.errors import CommandError
from flux_gateway.core.membership import ProxyRecord
from flux_gateway.runtime import admin_client

_LOOK = 0.25
"""Seconds between two looks: what a proxy has moved since the last one before it is killed stays uncounted."""


class Moved(msgspec.Struct, frozen=True):
    """Sessions in one phase of a drill, as the proxies count them."""

    moved: int = 0
    """Planned: from a node that lives, or to the same node, where a proxy learns anew where frames begin."""
    reattached: int = 0
    """The node was gone."""
    failed: int = 0
    """Sessions that could not go on anywhere; their clients were closed."""


class MoveWatch:
    """Looks at the proxies again and again, from `start` to `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._proxies: list[ProxyRecord] = []
        self._seen: dict[str, tuple[float, dict[str, int]]] = {}
        """What each proxy said last, with the start of the process that said it."""
        self._sum: Counter[str] = Counter()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with what the proxies say now."""
        self._proxies = await asyncio.to_thread(self._cluster.proxies)
        await self._look()
        self._sum.clear()
        self._task = asyncio.create_task(self._run(), name="moves")

    async def take(self) -> Moved:
        """Return what was moved since the last call."""
        await self._look()
        found = Moved(self._sum["move"], self._sum["reattach"], self._sum["failed"])
        self._sum.clear()
        return found

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._look()

    async def _look(self) -> None:
        async with self._looking:
            for proxy in self._proxies:
                try:
                    info = await asyncio.to_thread(admin_client.get, proxy.admin_host, proxy.admin_port, "/info")
                except CommandError:
                    continue  # it restarts; the next look finds its successor, which counts from 0
                started_at, before = self._seen.get(proxy.id, (0.0, {}))
                if info["started_at"] != started_at:
                    before = {}
                self._sum.update({name: total - before.get(name, 0) for name, total in info["moves"].items()})
                self._seen[proxy.id] = info["started_at"], info["moves"]
