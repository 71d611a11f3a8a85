"""The faults a drill can set: how each begins, how it ends, and which closes of clients it explains."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError
from flux_gateway.core.membership import ProxyRecord
from flux_gateway.runtime import admin_client

_ROUTED_AROUND = 20.0
"""Seconds after which a node that still gets new sessions counts as not routed around."""

_BACK = 30.0
"""Seconds that a node gets to come back."""


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault. `begin` and `end` are blocking and are called with cluster, node and seconds."""

    kind: str
    text: str
    begin: Callable[[LocalCluster, str, float], object]
    end: Callable[[LocalCluster, str, float], object]
    codes: frozenset[int]
    """Close codes that clients may see because of it. Any other one breaks the drill."""


# A fault outlasts the drill by this much if the command is killed; then it heals by itself.
_MARGIN = 30.0

FAULTS: dict[str, Fault] = {
    fault.kind: fault
    for fault in (
        Fault(
            "drain",
            "the node gives up its sessions",
            lambda cluster, node, seconds: cluster.post(node, f"/drain?seconds={seconds:g}"),
            lambda cluster, node, seconds: cluster.post(node, "/undrain"),
            frozenset({1012}),
        ),
        Fault(
            "kill",
            "kill -9, and it stays dead for a while",
            lambda cluster, node, seconds: cluster.ask("kill", name=node, hold=True, seconds=seconds + _MARGIN),
            lambda cluster, node, seconds: cluster.ask("release", name=node),
            # 1006: a client whose stream was cut in the middle of a frame.
            frozenset({1012, 1006}),
        ),
        Fault(
            "hang",
            "SIGSTOP: its sockets stay open, it answers nothing",
            lambda cluster, node, seconds: cluster.ask("hang", name=node, seconds=seconds + _MARGIN),
            lambda cluster, node, seconds: cluster.ask("heal", name=node),
            frozenset({1012}),
        ),
        Fault(
            "partition",
            "iptables drops every packet from and to its address",
            lambda cluster, node, seconds: cluster.ask("partition", name=node, seconds=seconds + _MARGIN),
            lambda cluster, node, seconds: cluster.ask("heal", name=node),
            frozenset({1012}),
        ),
    )
}


async def routed(cluster: LocalCluster, node: str, wanted: bool, seconds: float) -> float | None:
    """Wait until every proxy sends new sessions to the node (or none does); return how long it took, or None."""
    started = time.monotonic()
    proxies = await asyncio.to_thread(cluster.proxies)
    while True:
        views = await asyncio.to_thread(_usable, proxies, node)
        took = time.monotonic() - started
        if views and all(usable is wanted for usable in views):
            return took
        if took > seconds:
            return None
        await asyncio.sleep(0.01)


def _usable(proxies: list[ProxyRecord], node: str) -> list[bool]:
    found = []
    for proxy in proxies:
        try:
            nodes = admin_client.get(proxy.admin_host, proxy.admin_port, "/info")["nodes"]
        except CommandError:
            continue
        found.append(bool(nodes.get(node, {}).get("usable")))
    return found


async def routed_around(cluster: LocalCluster, node: str) -> float | None:
    """Return the seconds until no proxy sent new sessions to the node, or None if they went on."""
    return await routed(cluster, node, False, _ROUTED_AROUND)


async def back(cluster: LocalCluster, node: str) -> float | None:
    """Return the seconds until every proxy sent new sessions to the node again, or None if they did not."""
    return await routed(cluster, node, True, _BACK)
