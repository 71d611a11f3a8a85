"""The registry as daemons use it: announce oneself, read snapshots, declare the dead, follow events."""

import logging
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import redis
import redis.asyncio

from flux_gateway.core.lifecycle import GONE
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry import decoding, keys, scripts
from flux_gateway.registry.connect import registry_errors
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_SILENCE = 5.0
"""Seconds without an event after which Redis is asked whether it is still there."""

_PATIENCE = 2.0
"""Seconds for its answer: a master that hangs or is cut off ends no connection by itself."""


class Registry:
    """One program's view of the registry. Every method raises `RegistryUnavailable` when Redis does not answer."""

    def __init__(
        self, client: "redis.asyncio.Redis", *, heartbeat_life: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = client
        self.heartbeat_life = heartbeat_life
        self._clock = clock
        self._announce = client.register_script(scripts.ANNOUNCE)
        self._declare_dead = client.register_script(scripts.DECLARE_DEAD)
        self._forget = client.register_script(scripts.FORGET)
        self._snapshot = client.register_script(scripts.SNAPSHOT)

    async def announce(
        self, record: NodeRecord | ProxyRecord, event: Event | None = None, *, history: int = 0
    ) -> NodeRecord | ProxyRecord | None:
        """Write the record and, unless its state is a final one, a heartbeat; announce the event if there is one.

        `history` is how many samples of this node to keep (0: this call is no sample). Returns the record that
        stood there before, None if there was none: how a node learns that it was declared dead, or forgotten.
        """
        hash_key = keys.NODES if isinstance(record, NodeRecord) else keys.PROXIES
        alive = record.state not in GONE
        with registry_errors():
            before = await self._announce(
                keys=[hash_key, keys.heartbeat(record.id), keys.TIMELINE, keys.history(record.id)],
                args=[
                    record.id,
                    msgspec.json.encode(record),
                    int(self.heartbeat_life * 1000) if alive else 0,
                    msgspec.json.encode(event) if event else "",
                    keys.EVENTS,
                    keys.TIMELINE_LENGTH,
                    history,
                ],
            )
        return msgspec.json.decode(before, type=type(record)) if before else None

    async def snapshot(self) -> Snapshot:
        """Read the whole registry in one step."""
        with registry_errors():
            reply = await self._snapshot(keys=[keys.NODES, keys.PROXIES], args=[keys.heartbeat("")])
        return decoding.snapshot(reply, self.heartbeat_life)

    async def say(self, event: Event) -> None:
        """Announce an event that changes no record."""
        data = msgspec.json.encode(event)
        with registry_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xadd(keys.TIMELINE, {"event": data}, maxlen=keys.TIMELINE_LENGTH)
                pipe.publish(keys.EVENTS, data)
                await pipe.execute()

    async def declare_dead(self, snapshot: Snapshot, by: str) -> list[str]:
        """Declare dead every node and proxy of the snapshot whose heartbeat is gone. Returns those declared here."""
        declared = []
        groups = ((keys.NODES, snapshot.nodes), (keys.PROXIES, snapshot.proxies))
        for hash_key, members in groups:
            for record in members.values():
                if record.id in snapshot.heartbeat_age or record.state in GONE:
                    continue
                event = Event(at=self._clock(), kind=EventKind.DEAD, subject=record.id, by=by, detail="heartbeat gone")
                if await self._declare(hash_key, record, event):
                    declared.append(record.id)
                    log.warning("declared dead", extra=fields(member=record.id))
        return declared

    async def _declare(self, hash_key: str, record: NodeRecord | ProxyRecord, event: Event) -> bool:
        with registry_errors():
            done = await self._declare_dead(
                keys=[hash_key, keys.heartbeat(record.id), keys.TIMELINE],
                args=[record.id, repr(record.started_at), str(record.state), msgspec.json.encode(event), keys.EVENTS,
                      keys.TIMELINE_LENGTH],
            )
        return bool(done)

    async def forget_old(self, snapshot: Snapshot, by: str) -> list[str]:
        """Remove every member that has been stopped or dead for a day. Returns those removed here."""
        forgotten = []
        for members, records in ((keys.NODES, snapshot.nodes), (keys.PROXIES, snapshot.proxies)):
            for record in records.values():
                if record.state not in GONE or self._clock() - record.heartbeat_at < keys.KEPT_SECONDS:
                    continue
                event = Event(at=self._clock(), kind=EventKind.FORGOTTEN, subject=record.id, by=by)
                with registry_errors():
                    done = await self._forget(
                        keys=[members, keys.heartbeat(record.id), keys.history(record.id), keys.TIMELINE],
                        args=[record.id, repr(record.started_at), msgspec.json.encode(event), keys.EVENTS,
                              keys.TIMELINE_LENGTH],
                    )
                if done:
                    forgotten.append(record.id)
        return forgotten

    async def events(self) -> AsyncIterator[Event]:
        """Yield events as they are announced. Ends with `RegistryUnavailable` when the subscription breaks."""
        with registry_errors():
            async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(keys.EVENTS)
                asked = False
                while True:
                    message = await channel.get_message(timeout=_PATIENCE if asked else _SILENCE)
                    if message is None:
                        # Silence may mean a dead connection: only an answer proves the opposite.
                        if asked:
                            raise redis.TimeoutError("the subscription has gone silent")
                        await channel.ping()
                        asked = True
                        continue
                    asked = False
                    event = decoding.event(message["data"]) if message["type"] == "message" else None
                    if event is not None:
                        yield event

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

