"""`registry.announcer`: heartbeats without drift, through a Redis that goes away and comes back empty."""

import asyncio
import time
from itertools import pairwise

import pytest

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry.announcer import Announcer
from flux_gateway.registry.registry import Registry
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import node, reader, registry, running, until


class Slow(Registry):
    """A registry that notes when it was asked, and answers late or not at all. It stands for a slow network."""

    def __init__(self, takes: float) -> None:
        self.takes, self.away = takes, False
        self.asked: list[tuple[float, int, Event | None]] = []

    async def announce(
        self, record: NodeRecord | ProxyRecord, event: Event | None = None, *, history: int = 0
    ) -> NodeRecord | ProxyRecord | None:
        self.asked.append((time.monotonic(), history, event))
        await asyncio.sleep(self.takes)
        if self.away:
            raise RegistryUnavailable("away")
        return record

    def samples(self) -> list[float]:
        return [at for at, history, _ in self.asked if history]


def member(where: Registry, interval: float) -> Announcer:
    return Announcer("gateway-1", where, interval, lambda sample: node(connections=int(sample)))


def test_heartbeats_do_not_drift_by_the_time_that_they_take() -> None:
    async def main() -> None:
        slow = Slow(0.03)
        async with running(member(slow, 0.1).run()):
            await until(lambda: len(slow.samples()) == 11)
        first, *_, last = slow.samples()
        assert last - first == pytest.approx(1.0, abs=0.06)  # with drift: 1.3

    asyncio.run(main())


def test_a_late_heartbeat_is_followed_by_the_next_in_the_old_rhythm_not_by_a_burst() -> None:
    async def main() -> None:
        slow = Slow(0.35)
        async with running(member(slow, 0.1).run()):
            await until(lambda: len(slow.asked) == 1)
            await asyncio.sleep(0.05)
            slow.takes = 0
            await until(lambda: len(slow.samples()) == 5)
        gaps = [later - earlier for earlier, later in pairwise(slow.samples()[1:])]
        assert min(gaps) > 0.05

    asyncio.run(main())


def test_an_event_is_announced_at_once_and_is_no_sample() -> None:
    async def main() -> None:
        slow = Slow(0)
        one = member(slow, 30)
        async with running(one.run()):
            await until(lambda: len(slow.asked) == 1)
            one.note(EventKind.DRAINING, "by hand")
            await one.told(1.0)
        (_, history, event) = slow.asked[1]
        assert history == 0
        assert event is not None
        assert (event.kind, event.subject, event.by, event.detail) == (
            EventKind.DRAINING, "gateway-1", "gateway-1", "by hand",
        )  # fmt: skip
        assert len(slow.asked) == 2

    asyncio.run(main())


def test_events_wait_while_redis_is_away_and_come_in_order() -> None:
    async def main() -> None:
        slow = Slow(0)
        slow.away = True
        one = member(slow, 0.1)
        async with running(one.run()):
            await until(lambda: len(slow.asked) > 1)
            assert one.available is False
            for kind in (EventKind.JOINED, EventKind.SUSPECT, EventKind.LINKED):
                one.note(kind)
            await one.told(0.05)  # gives up waiting, and forgets nothing
            slow.away, before = False, len(slow.asked)
            await one.told(2.0)
        told = [event.kind for _, _, event in slow.asked[before:] if event]
        assert told == [EventKind.JOINED, EventKind.SUSPECT, EventKind.LINKED]
        assert one.available

    asyncio.run(main())


def test_a_member_registers_again_after_redis_came_back_empty_and_says_that_it_recovered(
    own_server: RedisServer,
) -> None:
    async def main() -> None:
        async with registry(own_server, life=0.6) as where, registry(own_server) as witness:
            one = member(where, 0.2)
            one.note(EventKind.JOINED)
            async with running(one.run()):
                await until(lambda: one.registered)
                own_server.stop()
                await until(lambda: one.available is False)
                own_server.start()
                assert await until(lambda: bool(one.available)) < 1.5
                await one.told(2.0)
                snapshot = await witness.snapshot()
                assert snapshot.nodes["gateway-1"].state is NodeState.UP
                assert "gateway-1" in snapshot.heartbeat_age
                told = reader(own_server).timeline()
                assert [(entry.kind, entry.detail) for entry in told] == [
                    (EventKind.RECOVERED, "the registry had lost it")
                ]

    asyncio.run(main())


def test_a_member_that_was_taken_for_dead_says_that_it_recovered(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as where, registry(server) as witness:
            one = member(where, 0.1)
            async with running(one.run()):
                await until(lambda: one.registered)
                await witness.announce(node(state=NodeState.DEAD))
                await until(lambda: bool(reader(server).timeline()))
                (told,) = reader(server).timeline()
                assert (told.kind, told.detail) == (EventKind.RECOVERED, "was taken for dead")
                assert (await witness.snapshot()).nodes["gateway-1"].state is NodeState.UP

    asyncio.run(main())


def test_the_first_registration_is_no_recovery_and_samples_are_kept(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as where, registry(server) as witness:
            await witness.announce(node(state=NodeState.DEAD))  # of the life before
            one = member(where, 0.05)
            async with running(one.run()):
                await until(lambda: len(reader(server).history("gateway-1")) >= 3)
        assert reader(server).timeline() == []
        assert all(record.connections == 1 for record in reader(server).history("gateway-1"))

    asyncio.run(main())
