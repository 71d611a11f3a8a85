"""Channels that have moved within a Redis Cluster: what was published meanwhile is read from their streams."""

import asyncio
from collections.abc import Sequence
from functools import partial

from flux_gateway.gateway.messaging.channels.hub import Hub


def refill(hub: Hub, names: Sequence[str]) -> None:
    """Read what may be missing in these channels. They are subscribed where they are now."""
    for name in names:
        channel = hub.channels.get(name)
        if channel is None:
            continue
        if channel.waiting is None:
            channel.waiting = []
            hub.refill(channel)
        elif channel.work is not None:
            # It is being read already, perhaps from before it was subscribed anew.
            channel.work.add_done_callback(partial(_once_more, hub, name))


def _once_more(hub: Hub, name: str, work: "asyncio.Task[None]") -> None:
    if not work.cancelled():
        refill(hub, [name])
