"""The registry as commands and the dashboard use it: blocking reads, and `forget`."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import redis

from flux_gateway.core.membership import NodeRecord, Snapshot
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry import decoding, keys, scripts
from flux_gateway.registry.connect import registry_errors

_PATIENCE = 2.0
"""Seconds for an answer on a subscription: a master that hangs or is cut off ends no connection by itself."""


class RegistryReader:
    """Blocking view of the registry, safe to share between threads. Raises `RegistryUnavailable`."""

    def __init__(self, client: "redis.Redis", *, heartbeat_life: float) -> None:
        self._redis = client
        self._life = heartbeat_life
        self._forget = client.register_script(scripts.FORGET)
        self._snapshot = client.register_script(scripts.SNAPSHOT)

    def snapshot(self) -> Snapshot:
        """Read the whole registry in one step."""
        with registry_errors():
            reply: Any = self._snapshot(keys=[keys.NODES, keys.PROXIES], args=[keys.heartbeat("")])
        return decoding.snapshot(reply, self._life)

    def timeline(self, count: int = 200) -> list[Event]:
        """Return the newest events, newest first."""
        with registry_errors():
            entries: Any = self._redis.xrevrange(keys.TIMELINE, count=count)
        return decoding.events(entries)

    def history(self, node_id: str) -> list[NodeRecord]:
        """Return the samples of a node over the last 15 minutes, oldest first."""
        since = int((time.time() - keys.HISTORY_SECONDS) * 1000)
        with registry_errors():
            entries: Any = self._redis.xrange(keys.history(node_id), min=str(since))
        return decoding.history(entries)

    def follow(self, patience: float) -> Iterator[Event | None]:
        """Yield events as they are announced, and None after each `patience` seconds of silence."""
        pubsub: Any = self._redis.pubsub
        with registry_errors(), pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(keys.EVENTS)
            heard = time.monotonic()
            while True:
                message = channel.get_message(timeout=patience)
                if message is None:
                    if time.monotonic() - heard > patience + _PATIENCE:
                        raise redis.TimeoutError("the subscription has gone silent")
                    channel.ping()
                    yield None
                    continue
                heard = time.monotonic()
                if message["type"] == "message":
                    yield decoding.event(message["data"])

    def forget(self, member_id: str, by: str) -> bool:
        """Remove a node or proxy for good. Returns whether there was one."""
        event = Event(at=time.time(), kind=EventKind.FORGOTTEN, subject=member_id, by=by)
        with registry_errors():
            found = [
                self._forget(
                    keys=[members, keys.heartbeat(member_id), keys.history(member_id), keys.TIMELINE],
                    args=[member_id, "", msgspec.json.encode(event), keys.EVENTS, keys.TIMELINE_LENGTH],
                )
                for members in (keys.NODES, keys.PROXIES)
            ]
        return any(found)

    def close(self) -> None:
        """Close the connections to Redis."""
        self._redis.close()

