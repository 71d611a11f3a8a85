"""One example: clients on the world's nodes, what can happen to them, and whether they got what they should."""

import asyncio
import itertools
import json
import random
import signal
import time
from collections.abc import Coroutine

import redis

from flux_gateway.broker import keys, wire
from flux_gateway.broker.broker import Broker
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.core.link import Drop
from flux_gateway.messaging.publication import Publication
from flux_gateway.registry.connect import RedisSettings, connect
from tests.integration.messaging_model.client import SdkClient
from tests.integration.messaging_model.ledger import Ledger, Plain, Positioned
from tests.integration.messaging_model.relay import NodeLink, Relay
from tests.integration.messaging_model.world import HISTORY, PRESENCE_TTL, SHORT, World
from tests.processes import REDIS_PORT, Daemon, connects, until

_numbers = itertools.count(1)


class Scene:
    """One example: its clients and channels, on the world's nodes."""

    def __init__(self, world: World) -> None:
        self.world, self.number = world, next(_numbers)
        self.ledger = Ledger()
        self.clients: list[SdkClient] = []
        self.faults: list[str] = []
        """What must not happen and did."""
        self.calm = True
        """Nothing was broken so far: clients have no reason to come back."""
        self.presence_after = 2.0
        """Seconds after which presence must be right."""
        self._stack = world.stack
        self._proxy_id, self._host = "proxy-9", world.stack.host(2, 9)
        self._links: dict[str, NodeLink] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self._up = dict.fromkeys((node.name for node in world.stack.nodes), True)
        self._starting: set[asyncio.Task[None]] = set()
        """Nodes that start, and Redis while it stands still."""
        self._redis = asyncio.Lock()
        """Held while Redis does not answer on purpose."""
        self._registry = redis.Redis(host=world.stack.host(3, 1), port=REDIS_PORT)

    async def begin(self) -> None:
        """Open the links, and a broker of one's own."""
        settings = RedisSettings(host=self._stack.host(3, 1), port=REDIS_PORT, timeout=1.0)
        self._broker = Broker(connect(settings), timeout=1.0, node_id="model")
        await self._broker.start()
        for node in self._stack.nodes:
            self._links[node.name] = await NodeLink.open(node, self._proxy_id)

    def channel(self, kind: str) -> str:
        """Return the full name of a channel, of this example alone."""
        namespace, _, name = kind.rpartition(":")
        return f"{namespace}{':' if namespace else ''}{name}-{self.number}"

    def nodes(self) -> list[Daemon]:
        """Return the nodes that run."""
        return [node for node in self._stack.nodes if self._up[node.name]]

    # Clients.

    def _seen(self, channel: str, who: str) -> Positioned | Plain:
        if ":" not in channel:
            return Plain(self.ledger, channel, who)
        return Positioned(self.ledger, channel, who, SHORT if channel.startswith("short") else HISTORY)

    async def come(self, encoding: str, node: int) -> None:
        """A client connects."""
        nodes = self.nodes()
        client = SdkClient(
            f"client {len(self.clients) + 1}", encoding, self.ledger,
            relay=lambda deliver, lost: Relay(self._proxy_id, self._host, deliver, lost),
            nodes=self.nodes, seen=self._seen, report=self.faults.append,
        )  # fmt: skip
        self.clients.append(client)
        await client.connect(nodes[node % len(nodes)])

    def present(self) -> list[SdkClient]:
        """Return the clients that have not left."""
        return [client for client in self.clients if not client.leaving]

    # Publications.

    def publish(self, channel: str, by: SdkClient | None, count: int, pause: float) -> None:
        """Publish a row of numbers, while other things happen."""
        task = asyncio.create_task(self._publish(channel, by, count, pause))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish(self, channel: str, by: SdkClient | None, count: int, pause: float) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self._publish_one(channel, by))
                await asyncio.sleep(pause)

    async def _publish_one(self, channel: str, by: SdkClient | None) -> None:
        number = self.ledger.begin(channel)
        if by is not None:
            done = await by.publish(channel, number)
        else:
            done = await self._publish_by_broker(channel, number)
        if done:
            self.ledger.acknowledged[channel].add(number)

    async def _publish_by_broker(self, channel: str, number: int) -> bool:
        size = SHORT if channel.startswith("short") else HISTORY
        try:
            position = await self._broker.publish(
                channel, Publication(data=json.dumps({"n": number}).encode()), size=size, ttl=600, meta_ttl=86_400
            )
        except BrokerUnavailable:
            return False
        if ":" in channel:
            self.ledger.place(channel, position.epoch, position.offset, number)
        return True

    def lose(self, channel: str, count: int) -> None:
        """Publish, and let the bus lose it: it is in the stream, and nobody hears of it."""
        for _ in range(count):
            number = self.ledger.begin(channel)
            offset = self._registry.hincrby(keys.meta(channel), "o", 1)
            data = wire.encode_publication(Publication(data=json.dumps({"n": number}).encode()))
            self._registry.xadd(keys.stream(channel), {"p": data}, id=f"{offset}-0")
            self.ledger.acknowledged[channel].add(number)

    # Moves.

    async def move(self, clients: list[SdkClient], steps: list[int]) -> None:
        """Move sessions to other nodes, all at once."""
        await asyncio.gather(*(self._move(client, step) for client, step in zip(clients, steps, strict=True)))

    async def _move(self, client: SdkClient, step: int) -> None:
        relay = client.relay
        if relay is None or relay.node is None or relay.moving:
            return
        others = [node for node in self.nodes() if node is not relay.node]
        client.places += 1
        refused = await relay.move(self._links[relay.node.name], others[step % len(others)])
        # A proxy asks again later.
        if refused and (self.calm or refused != "being restored"):
            self.faults.append(f"{client.name}: refused to move: {refused}")

    # Nodes that end, and nodes that stand still.

    def _on(self, node: Daemon) -> list[Relay]:
        found = []
        for client in self.present():
            relay = client.relay
            if relay is not None and relay.node is node and not relay.moving:
                client.places += 1
                found.append(relay)
        return found

    async def crash(self, number: int, *, least: int = 3) -> None:
        """Kill a node, if at least so many run; its sessions are attached elsewhere. It starts again meanwhile."""
        nodes = self.nodes()
        if len(nodes) < least:
            return
        node = nodes[number % len(nodes)]
        self._broken(PRESENCE_TTL + 2)
        self._up[node.name] = False
        orphans = self._on(node)
        for relay in orphans:
            relay.moving = True
        node.signal(signal.SIGKILL)
        await asyncio.to_thread(node.wait)
        await self._links.pop(node.name).close()
        await asyncio.gather(*(relay.read_to_end() for relay in orphans))
        await self._adopt(orphans)
        self._start(self._start_again(node))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._starting.add(task)
        task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.faults.append(repr(task.exception()))

    async def _adopt(self, orphans: list[Relay]) -> None:
        others = self.nodes()
        await asyncio.gather(*(relay.reattach(random.choice(others)) for relay in orphans))

    async def _start_again(self, node: Daemon) -> None:
        node.restart()
        await asyncio.to_thread(node.wait_ready)
        self._links[node.name] = await NodeLink.open(node, self._proxy_id)
        self._up[node.name] = True

    async def overtake(self, number: int, seconds: float, drop_first: bool) -> None:
        """A node stands still and is taken for dead. When it goes on it has copies of sessions that live elsewhere."""
        nodes = self.nodes()
        if len(nodes) < 2:
            return
        node = nodes[number % len(nodes)]
        self._broken(PRESENCE_TTL + 2)
        self._up[node.name] = False
        overtaken = self._on(node)
        node.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(0.05)
            writers = [relay.abandon() for relay in overtaken]
            await self._adopt(overtaken)
            await asyncio.sleep(seconds)
            fences = {relay.session: relay.fence for relay in overtaken}
            if drop_first:
                await self._links[node.name].say(Drop(fences))
                node.signal(signal.SIGCONT)
                await asyncio.sleep(0.1)
            for writer in writers:
                if writer is not None:
                    writer.close()
            node.signal(signal.SIGCONT)
            if not drop_first:
                await asyncio.sleep(0.1)
                await self._links[node.name].say(Drop(fences))
        finally:
            node.signal(signal.SIGCONT)
            self._up[node.name] = True

    def _broken(self, presence_after: float) -> None:
        self.calm = False
        self.presence_after = max(self.presence_after, presence_after)

    # Redis.

    async def pause_redis(self, seconds: float) -> None:
        """Redis stands still."""
        self._broken(PRESENCE_TTL + 2)
        async with self._redis:
            self.world.redis.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.world.redis.signal(signal.SIGCONT)

    def begin_pause(self, seconds: float) -> None:
        """Redis stands still while the next steps are taken."""
        self._start(self.pause_redis(seconds))

    async def restart_redis(self, wiped: bool) -> None:
        """Redis ends and starts again, with its data or without."""
        self._broken(PRESENCE_TTL + 2)
        async with self._redis:
            await asyncio.to_thread(self._restart_redis, wiped)

    def _restart_redis(self, wiped: bool) -> None:
        if wiped:
            # Nothing may be acknowledged between the look at the streams and their end.
            self._registry.client_pause(10_000, all=False)
            self._shake()
            self._read_streams()
        self._registry.shutdown(save=not wiped, nosave=wiped)
        self.world.redis.wait()
        dump = self.world.redis.log.with_name("dump.rdb")
        if wiped:
            dump.unlink(missing_ok=True)
        self.world.redis.restart()
        until(lambda: connects((self._stack.host(3, 1), REDIS_PORT)), "Redis listens")
        dump.unlink(missing_ok=True)

    async def wipe_redis(self) -> None:
        """Redis loses its data, and nobody notices."""
        self._broken(PRESENCE_TTL + 2)
        async with self._redis:
            await asyncio.to_thread(self._forget_all)

    def _forget_all(self) -> None:
        """Empty Redis, and remember what the streams have held up to that very moment."""
        self._shake()
        self._read_streams(flush=True)

    def _shake(self) -> None:
        for client in self.clients:
            for subscription in client.subscriptions.values():
                if isinstance(subscription.seen, Plain):
                    subscription.seen.shaken()

    def _read_streams(self, *, flush: bool = False) -> dict[str, tuple[str, int]]:
        """Take the streams into the ledger; return their positions."""
        channels = sorted({
            *self.ledger.channels, *(name for client in self.clients for name in client.subscriptions)
        })  # fmt: skip
        pipe = self._registry.pipeline(transaction=True)
        for channel in channels:
            pipe.hmget(keys.meta(channel), "e", "o")
            pipe.xrange(keys.stream(channel))
        if flush:
            pipe.flushall()
        replies = pipe.execute()
        positions = {}
        for at, channel in enumerate(channels):
            (epoch, offset), entries = replies[2 * at], replies[2 * at + 1]
            if epoch is None:
                continue
            positions[channel] = (epoch.decode(), int(offset or 0))
            stream = []
            for name, fields in entries:
                place = int(name.partition(b"-")[0])
                stream.append((place, json.loads(wire.decode_publication(fields[b"p"], place).data)["n"]))
            self.ledger.keep(channel, epoch.decode(), stream)
        return positions

    # The end.

    async def finish(self) -> None:
        """Let everything come to rest, then judge. Raises AssertionError."""
        while self._publishing or self._starting:
            await asyncio.wait({*self._publishing, *self._starting})
        end = time.monotonic() + 15
        while self._behind() and not self.faults and time.monotonic() < end:
            await asyncio.sleep(0.05)
        faults = self.faults or self._behind() or await self._lasting_presence_faults() or self._membership_faults()
        if self.calm:
            faults += [f"{client.name} came back: {client.closes}" for client in self.present() if client.closes]
        if faults := faults + self.faults:
            raise AssertionError("\n".join(dict.fromkeys(faults)))

    def _behind(self) -> list[str]:
        positions = self._read_streams()
        behind = [f"{client.name}: not settled" for client in self.present() if not client.settled]
        for client in self.clients:
            for channel, subscription in client.subscriptions.items():
                active = not client.leaving and subscription.state == "subscribed"
                if channel not in positions:
                    behind += [f"{channel}: no stream"] if active else []
                elif fault := subscription.seen.behind(active):
                    behind.append(fault)
        for channel in self.ledger.acknowledged:
            if not channel.startswith("short") and (missing := self.ledger.missing(channel)):
                behind.append(f"{channel}: {sorted(missing)} were acknowledged and are in no stream")
        return behind

    async def _lasting_presence_faults(self) -> list[str]:
        end = time.monotonic() + self.presence_after
        while (wrong := await self._presence_faults()) and time.monotonic() < end:
            await asyncio.sleep(0.05)
        return wrong

    async def _presence_faults(self) -> list[str]:
        wrong = []
        for channel in {name for client in self.clients for name in client.subscriptions}:
            try:
                there = set(await self._broker.presence(channel))
            except BrokerUnavailable as error:
                return [str(error)]
            names = {client.id: client.name for client in self.clients}
            expected = {
                client.id for client in self.present()
                if channel in client.subscriptions and client.subscriptions[channel].state == "subscribed"
            }  # fmt: skip
            if there != expected:
                more = [names.get(one, "a client of the past") for one in there - expected]
                wrong.append(f"{channel}: without {[names[one] for one in expected - there]}, and with {more}")
        return wrong

    def _membership_faults(self) -> list[str]:
        """Nobody may hear that somebody joins or leaves who only moves.

        These events have no offsets, so who moves itself may hear the same one on both nodes.
        """
        wrong = []
        for client in self.clients:
            for channel, subscription in client.subscriptions.items():
                for (kind, who), times in subscription.heard.items():
                    truth = (self.ledger.joined if kind == "join" else self.ledger.left)[who, channel]
                    if times > truth * client.places:
                        wrong.append(f"{client.name} in {channel}: {times} x {kind} of one client, in truth {truth}")
        return wrong

    async def close(self) -> None:
        """Let go of everything, whatever came of it."""
        for task in [*self._publishing]:
            task.cancel()
        if self._starting:
            await asyncio.wait(self._starting)
        for client in self.clients:
            client.end()
        for told in self._links.values():
            await told.close()
        await self._broker.close()
        await asyncio.to_thread(self._registry.close)
