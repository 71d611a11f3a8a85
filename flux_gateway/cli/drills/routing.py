"""What the proxies do with a node: whether they send it new clients, and how many sessions they have there."""

import asyncio
import time
from typing import Any

from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError
from flux_gateway.core.membership import ProxyRecord
from flux_gateway.runtime import admin_client

_ROUTED_AROUND = 20.0
"""Seconds after which a node that still gets new sessions counts as not routed around."""

_BACK = 30.0
"""Seconds that a node gets to come back."""


async def routed_around(cluster: LocalCluster, node: str) -> float | None:
    """Return the seconds until no proxy sent new sessions to the node, or None if they went on."""
    return await _routed(cluster, node, False, _ROUTED_AROUND)


async def back(cluster: LocalCluster, node: str) -> float | None:
    """Return the seconds until every proxy sent new sessions to the node again, or None if they did not."""
    return await _routed(cluster, node, True, _BACK)


async def sessions_on(cluster: LocalCluster, node: str) -> int:
    """Return how many sessions the proxies have on the node now."""
    proxies = await asyncio.to_thread(cluster.proxies)
    return sum(view.get("connections", 0) for view in await asyncio.to_thread(_views, proxies, node))


async def _routed(cluster: LocalCluster, node: str, wanted: bool, seconds: float) -> float | None:
    started = time.monotonic()
    proxies = await asyncio.to_thread(cluster.proxies)
    while True:
        views = await asyncio.to_thread(_views, proxies, node)
        took = time.monotonic() - started
        if views and all(bool(view.get("usable")) is wanted for view in views):
            return took
        if took > seconds:
            return None
        await asyncio.sleep(0.01)


def _views(proxies: list[ProxyRecord], node: str) -> list[dict[str, Any]]:
    """Return what each proxy that answers says of the node; empty where it does not know it."""
    found = []
    for proxy in proxies:
        try:
            nodes = admin_client.get(proxy.admin_host, proxy.admin_port, "/info")["nodes"]
        except CommandError:
            continue
        found.append(nodes.get(node, {}))
    return found
