"""`registry.watch`: every snapshot while Redis answers, silence while it does not, and no hasty verdicts after."""

import asyncio
import time

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import Snapshot
from flux_gateway.registry import keys
from flux_gateway.registry.registry import Registry
from flux_gateway.registry.watch import RegistryWatch
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import event, node, registry, running, until

LIFE = 0.6


class Watched:
    """A watch and what it handed over."""

    def __init__(self, where: Registry, interval: float = 0.05) -> None:
        self.taken: list[Snapshot] = []
        self.watch = RegistryWatch(where, interval, "proxy-1", self.taken.append)

    def state(self) -> NodeState | None:
        record = self.taken[-1].nodes.get("gateway-1") if self.taken else None
        return record.state if record else None


def test_an_event_is_a_reason_to_read_at_once(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as where, registry(server) as member:
            watched = Watched(where, interval=60)
            async with running(watched.watch.poll(), watched.watch.follow()):
                client = server.client()
                await until(lambda: client.pubsub_numsub(keys.EVENTS)[0][1] == 1)
                client.close()
                await until(lambda: len(watched.taken) == 1)
                await member.announce(node(), event())
                assert await until(lambda: watched.state() is NodeState.UP) < 1

    asyncio.run(main())


def test_without_events_it_reads_every_interval(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as where:
            watched = Watched(where)
            async with running(watched.watch.poll()):
                await until(lambda: len(watched.taken) >= 5)
            assert watched.watch.away_since is None

    asyncio.run(main())


def test_while_redis_is_away_nothing_is_handed_over_and_it_says_since_when(own_server: RedisServer) -> None:
    async def main() -> None:
        async with registry(own_server, LIFE) as where:
            watched = Watched(where)
            async with running(watched.watch.poll(), watched.watch.follow()):
                await where.announce(node())
                await until(lambda: watched.state() is NodeState.UP)
                own_server.stop()
                stopped_at = time.time()
                await until(lambda: watched.watch.away_since is not None)
                assert abs((watched.watch.away_since or 0) - stopped_at) < 2
                await asyncio.sleep(0.05)
                seen = len(watched.taken)
                await asyncio.sleep(LIFE + 0.2)
                assert len(watched.taken) == seen
                assert watched.state() is NodeState.UP
                own_server.start()
                await until(lambda: len(watched.taken) > seen)
                assert watched.watch.away_since is None

    asyncio.run(main())


def test_a_member_is_declared_dead_only_after_redis_has_been_back_for_a_whole_heartbeat_life(
    own_server: RedisServer,
) -> None:
    async def main() -> None:
        async with registry(own_server, LIFE) as where, registry(own_server, 0.05) as member:
            watched = Watched(where)
            async with running(watched.watch.poll()):
                await until(lambda: bool(watched.taken))
                await asyncio.sleep(LIFE)  # settled
                own_server.stop()
                await until(lambda: watched.watch.away_since is not None)
                own_server.start()
                await until(lambda: watched.watch.away_since is None)
                back_at = time.monotonic()
                await member.announce(node())  # and never again
                await until(lambda: watched.state() is NodeState.DEAD)
                assert time.monotonic() - back_at >= LIFE - 0.1

    asyncio.run(main())


def test_once_settled_a_member_without_heartbeat_is_declared_dead_at_the_next_read(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server, LIFE) as where, registry(server, 0.1) as member:
            watched = Watched(where)
            async with running(watched.watch.poll()):
                await until(lambda: bool(watched.taken))
                await asyncio.sleep(LIFE + 0.1)
                await member.announce(node())
                assert await until(lambda: watched.state() is NodeState.DEAD) < 0.5

    asyncio.run(main())
