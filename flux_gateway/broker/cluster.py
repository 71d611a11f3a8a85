"""Commands to a Redis Cluster: one pipe per master, each key to the master of its slot. Slots that move are followed.

What is heard of channels comes through `Shards`, which goes by the same map.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import redis.asyncio
from redis.crc import key_slot

from flux_gateway.broker.commands import Argument
from flux_gateway.broker.pipe import Asked, Pipe, fail
from flux_gateway.broker.scripts import Script
from flux_gateway.broker.slots import SLOTS, Address, Redirection, parse_redirection, parse_slots
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_LOOK_AGAIN = 30.0
"""Seconds after which the map of slots is read anew, though nothing seems to have changed."""

_LOOK_SOON = 0.5
"""Seconds until it is read again while a part of the cluster cannot be reached."""

_PAUSE = 0.1
"""Seconds between two readings at least."""

_TRY_AGAIN = 0.1
"""Seconds for the keys of one command to come together at one Redis."""

_MOST_HOPS = 10
"""Redirections of one command, after which it fails."""


class Cluster(NamedTuple):
    """How to reach a Redis Cluster."""

    seeds: Sequence[Address]
    """Where it is asked for the others first."""
    dial: Callable[[str, int], "redis.asyncio.Redis"]
    """Makes a client for one Redis; it is closed here."""


class Place(NamedTuple):
    """Where the channels of a slot are heard."""

    master: Address
    sharded: bool
    """Only there, with sharded pub/sub. Else whatever is published at the master is delivered by every Redis."""


class ClusterPipes:
    """Stands where a `Pipe` stands. It is `up` while the master of every slot can be asked."""

    def __init__(self, cluster: Cluster, *, timeout: float, changed: Callable[[], None]) -> None:
        """`timeout` in seconds for an answer; `changed` is called whenever `up` has changed."""
        self._cluster = cluster
        self._timeout = timeout
        self._changed = changed
        self._pipes: dict[Address, Pipe] = {}
        self._clients: dict[Address, redis.asyncio.Redis] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._masters: set[Address] = set()
        self._informed: Address | None = None
        """Who got a slot last, as far as is known, and so knows of it."""
        self._loop = asyncio.get_running_loop()
        self._look = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._works: set[asyncio.Task[None]] = set()
        self.up = False
        self.remapped: Callable[[int | None], None] = lambda slot: None
        """Called when a slot has another `place`; with None when that may be so for any of them."""

    async def start(self) -> None:
        """Find the masters and connect to them. Returns after the first try, whatever came of it."""
        assert self._task is None, "started twice"
        await self._read_map()
        self._task = asyncio.create_task(self._keep(), name="broker cluster")

    async def close(self) -> None:
        """End all connections for good."""
        tasks = [*self._works, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._forget(address) for address in [*self._pipes]))
        for client in self._clients.values():
            await client.aclose()
            await client.connection_pool.disconnect()

    def call(self, name: str, key: str, *arguments: Argument) -> "asyncio.Future[Any]":
        """See `Commands`."""
        pipe = self._owner(key)
        return self._nobody() if pipe is None else pipe.call(name, key, *arguments)

    def everywhere(self, name: str, argument: str, *arguments: Argument) -> "list[asyncio.Future[Any]]":
        """Give a command to every master."""
        return [self._pipes[address].call(name, argument, *arguments) for address in self._masters]

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> "asyncio.Future[Any]":
        """See `Commands`."""
        pipe = self._owner(keys[0])
        return self._nobody() if pipe is None else pipe.run(script, keys, arguments)

    def place(self, slot: int) -> Place | None:
        """Return where channels of a slot are heard; None while its master is not known, or was never reached."""
        master = self._owners[slot]
        pipe = self._pipes.get(master) if master else None
        return None if master is None or pipe is None or pipe.sharded is None else Place(master, pipe.sharded)

    def sharding(self) -> set[Address]:
        """Return the masters with sharded pub/sub."""
        return {address for address in self._masters if self._pipes[address].sharded}

    def any(self) -> Address:
        """Return a master that can be reached, or one that may be: all deliver what is published plainly at any."""
        up = [address for address in self._masters if self._is_up(address)]
        return random.choice(up or [*self._masters] or [*self._cluster.seeds])  # noqa: S311 - keeps no secret

    def is_master(self, address: Address) -> bool:
        """Whether a Redis belongs to the masters, as far as they are known."""
        return not self._masters or address in self._masters

    def moved(self, redirection: Redirection) -> None:
        """A master says that a slot is another's now."""
        self._informed = redirection.address
        self._look.set()
        if self._is_up(redirection.address) and self._owners[redirection.slot] != redirection.address:
            self._owners[redirection.slot] = redirection.address
            self.remapped(redirection.slot)

    def look(self) -> None:
        """Read the map of slots anew, soon."""
        self._look.set()

    def _owner(self, key: str) -> Pipe | None:
        address = self._owners[key_slot(key.encode())]
        return self._pipes.get(address) if address else None

    def _nobody(self) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        fail(future, BrokerUnavailable("Redis does not answer: nobody is known to have this slot of the cluster"))
        return future

    # The map of slots.

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN if self.up else _LOOK_SOON):
                    await self._look.wait()
            self._look.clear()
            await self._read_map()
            # Many commands may be redirected at once: the map is not read for each of them.
            await asyncio.sleep(_PAUSE)

    async def _read_map(self) -> None:
        """Ask whoever answers first: who got a slot last, those that are connected, the seeds."""
        informed, self._informed = self._informed, None
        known = {*self._pipes, *self._cluster.seeds, *([informed] if informed else [])}
        asking = sorted(known, key=lambda one: (one != informed, not self._is_up(one)))
        for address in asking:
            pipe = await self._pipe(address)
            try:
                reply = await pipe.call("CLUSTER", "SLOTS")
            except BrokerUnavailable as error:
                log.debug("no map of slots", extra=fields(redis=f"{address[0]}:{address[1]}", reason=str(error)))
                continue
            await self._take_map(reply, address)
            return
        self._judge()

    async def _take_map(self, reply: Sequence[Any], asked: Address) -> None:
        ranges = parse_slots(reply, asked)
        masters = {one.master for one in ranges}
        await asyncio.gather(*(self._pipe(address) for address in masters))
        self._masters = masters
        owners: list[Address | None] = [None] * SLOTS
        for first, last, master in ranges:
            owners[first : last + 1] = [master] * (last - first + 1)
        self._owners = owners
        for address in {*self._pipes} - self._masters:
            await self._forget(address)
        self._pipe_changed()

    def _pipe_changed(self) -> None:
        self.remapped(None)
        self._judge()

    def _judge(self) -> None:
        up = None not in self._owners and all(self._is_up(address) for address in self._masters)
        if up != self.up:
            self.up = up
            if not up:
                self._look.set()
            self._changed()

    # Pipes.

    def _is_up(self, address: Address) -> bool:
        pipe = self._pipes.get(address)
        return pipe is not None and pipe.up

    def client(self, address: Address) -> "redis.asyncio.Redis":
        """Return a client of one Redis, which tells how to connect. It is closed here."""
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._cluster.dial(*address)
        return client

    async def _pipe(self, address: Address) -> Pipe:
        """Return the pipe to a Redis, after its first try if it is new."""
        pipe = self._pipes.get(address)
        if pipe is None:
            pipe = self._pipes[address] = Pipe(
                self.client(address),
                timeout=self._timeout,
                changed=self._pipe_changed,
                redirect=lambda asked, error: self._redirected(address, asked, error),
            )
            await pipe.start()
        await pipe.tried()
        return pipe

    async def _forget(self, address: Address) -> None:
        pipe = self._pipes.pop(address, None)
        if pipe is not None:
            await pipe.close()

    # Slots that move.

    def _redirected(self, by: Address, asked: Asked, error: str) -> bool:
        if asked.hops >= _MOST_HOPS:
            return False
        if error.startswith("TRYAGAIN"):
            # A part of the command's keys is here already, the rest is on its way, and with it the slot.
            self._start(self._forward_later(by, asked, once=True, pause=_TRY_AGAIN))
            return True
        redirection = parse_redirection(error, by)
        if redirection is None:
            return False
        if redirection.moved:
            self.moved(redirection)
        pipe = self._pipes.get(redirection.address)
        if pipe is None or not pipe.up:
            self._start(self._forward_later(redirection.address, asked, once=not redirection.moved))
            return True
        # At once, so that commands that were given in an order are forwarded in it.
        pipe.forward(asked, once=not redirection.moved)
        return True

    async def _forward_later(self, address: Address, asked: Asked, *, once: bool, pause: float = 0.0) -> None:
        try:
            await asyncio.sleep(pause)
            pipe = await self._pipe(address)
        except asyncio.CancelledError:
            fail(asked.future, BrokerUnavailable("Redis does not answer: closed"))
            raise
        pipe.forward(asked, once=once)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="broker redirection")
        self._works.add(task)
        task.add_done_callback(self._works.discard)
