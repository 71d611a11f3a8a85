"""`broker.shards` on Redis Clusters with sharded pub/sub: heard at one master, and followed wherever the slot goes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_gateway.core.errors import BrokerUnavailable
from tests.unit.broker.cluster_servers import ClusterServers, move_begins, move_ends, move_keys
from tests.unit.broker.redis_versions import EMBEDDED, SEVEN
from tests.unit.broker.sharded import CHANNELS, INFO, broker, ends_of_a_move, hearers, slot_of, together
from tests.unit.broker.support import publish, run, stored
from tests.unit.registry.support import until


@pytest.fixture(scope="module")
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    with ClusterServers(tmp_path_factory.mktemp("shards"), SEVEN) as servers:
        yield servers


@pytest.fixture
def servers(shared_servers: ClusterServers) -> ClusterServers:
    """The shared cluster, empty."""
    for one in shared_servers.masters:
        one.ask("FLUSHALL")
    return shared_servers


def test_a_channel_is_heard_at_its_master_alone(servers: ClusterServers) -> None:
    async def main() -> None:
        async with broker(servers) as (one, heard, _), broker(servers, "gateway-2") as (two, heard_too, gaps):
            await asyncio.gather(*(by.subscribe(channel) for by in (one, two) for channel in CHANNELS))
            for channel in CHANNELS[:5]:
                assert hearers(servers, "NUMSUB", channel) == [0, 0, 0]
                assert hearers(servers, "SHARDNUMSUB", channel) == [0, 0, 2]
            for channel in CHANNELS:
                await one.join(channel, INFO)
                await publish(one, channel, "x")
                await publish(two, channel, "y", skip_history=True)
                await two.leave(channel, INFO)
            await until(lambda: len(heard.events) == len(heard_too.events) == 4 * len(CHANNELS))
            assert heard.offsets(CHANNELS[7]) == heard_too.offsets(CHANNELS[7]) == [0, 1, 0, 0]
            for channel in CHANNELS:
                one.unsubscribe(channel)
            await two.subscribe(CHANNELS[0])
            await publish(two, CHANNELS[0], "z")
            await until(lambda: heard_too.data(CHANNELS[0]) == [b"x", b"y", b"z"])
            assert hearers(servers, "SHARDNUMSUB", CHANNELS[0]) == [0, 0, 1]
            assert len(heard.events) == 4 * len(CHANNELS)
            assert gaps == []

    run(main())


def test_a_slot_that_moves_takes_its_channels_along(servers: ClusterServers) -> None:
    async def main() -> None:
        channels = ["moving", *together("moving", 4)]
        slot = slot_of("moving")
        source, target = ends_of_a_move(servers, "moving")
        async with broker(servers) as (one, heard, gaps), broker(servers, "gateway-2") as (two, _, _):
            await asyncio.gather(*(one.subscribe(channel) for channel in (*channels, *CHANNELS)))

            async def send(*data: str) -> None:
                for channel in channels:
                    for each in data:
                        await publish(two, channel, each, size=10_000)

            try:
                await send("1", "2")
                move_begins(slot, source, target)
                await send("3")
                await one.join("moving", INFO)
                await until(lambda: len(heard.events) == 3 * len(channels) + 1)
                move_keys(slot, source, target)
                # Who hears is still at the source, the keys are not.
                await send("4")
                await one.leave("moving", INFO)
                await until(lambda: heard.offsets("moving") == [1, 2, 3, 0, 0])
                move_ends(slot, servers, source, target)
                await until(lambda: sorted(gaps) == sorted(channels))
                assert heard.changes == [], "nothing was lost for the others"
                await send("5")
                await until(lambda: all(heard.offsets(channel)[-1] == 5 for channel in channels))
                assert heard.offsets("moving") == [1, 2, 3, 0, 0, 5]
                for channel in channels:
                    assert await stored(one, channel) == [b"1", b"2", b"3", b"4", b"5"]
                # As if it had always been there.
                late = together("moving", 5)[-1]
                await one.subscribe(late)
                await publish(two, late, "x")
                await until(lambda: heard.data(late) == [b"x"])
                one.unsubscribe(channels[1])
                await one.subscribe(channels[1])
                assert len(gaps) == len(channels)
            finally:
                move_begins(slot, target, source)
                move_keys(slot, target, source)
                move_ends(slot, servers, target, source)
            await until(lambda: len(gaps) == 2 * len(channels) + 1)
            await send("6")
            await until(lambda: all(heard.offsets(channel)[-1] == 6 for channel in channels))

    run(main())


def test_who_subscribes_while_the_map_is_old_is_sent_on(servers: ClusterServers) -> None:
    async def main() -> None:
        slot = slot_of("sent-on")
        source, target = ends_of_a_move(servers, "sent-on")
        async with broker(servers) as (one, heard, gaps):
            move_begins(slot, source, target)
            move_ends(slot, servers, source, target)
            try:
                await one.subscribe("sent-on")
                await publish(one, "sent-on", "x")
                await until(lambda: heard.data("sent-on") == [b"x"])
                assert gaps == []
            finally:
                move_begins(slot, target, source)
                move_keys(slot, target, source)
                move_ends(slot, servers, target, source)

    run(main())


def test_many_slots_may_move_while_much_is_published(servers: ClusterServers) -> None:
    """Whoever reads the stream of a channel that is reported, and goes on with what it hears, has everything, once."""

    async def main() -> None:
        moving = CHANNELS[:20]
        seen: dict[str, list[int]] = {channel: [] for channel in CHANNELS}
        async with broker(servers) as (one, heard, _), broker(servers, "gateway-2") as (two, _, _):
            work: set[asyncio.Task[None]] = set()

            async def read(channel: str) -> None:
                history = await one.history(channel, since=None, limit=-1, meta_ttl=600)
                seen[channel] += [each.offset for each in history.publications]

            def refill(channels: list[str]) -> None:
                for channel in channels:
                    work.add(asyncio.create_task(read(channel)))

            one.on_gap = refill
            await asyncio.gather(*(one.subscribe(channel) for channel in CHANNELS))
            sent = 0
            done = asyncio.Event()

            async def talk() -> None:
                nonlocal sent
                while not done.is_set():
                    sent += 1
                    await asyncio.gather(*(publish(two, channel, "x", size=10_000) for channel in CHANNELS))

            def move_all() -> None:
                for channel in moving:
                    source, target = ends_of_a_move(servers, channel)
                    slot = slot_of(channel)
                    move_begins(slot, source, target)
                    move_keys(slot, source, target)
                    move_ends(slot, servers, source, target)

            talking = asyncio.create_task(talk())
            await asyncio.to_thread(move_all)
            done.set()
            await talking

            def whole(channel: str) -> bool:
                return {*seen[channel], *heard.offsets(channel)} == {*range(1, sent + 1)}

            await until(lambda: all(whole(channel) for channel in CHANNELS))
            await asyncio.gather(*work)
            assert len(work) >= len(moving)
            for channel in CHANNELS:
                offsets = heard.offsets(channel)
                assert offsets == sorted({*offsets})
            assert heard.changes == []

    run(main())


def test_a_cluster_may_be_half_way_to_the_new_version(tmp_path: Path) -> None:
    with ClusterServers(tmp_path, EMBEDDED, SEVEN, SEVEN) as servers:

        async def main() -> None:
            async with broker(servers) as (one, heard, gaps), broker(servers, "gateway-2") as (two, heard_too, _):
                await asyncio.gather(*(by.subscribe(channel) for by in (one, two) for channel in CHANNELS))
                assert [await by.tell(b"all") for by in (one, two)] == [2, 2]
                for channel in CHANNELS:
                    await one.join(channel, INFO)
                    await asyncio.gather(*(publish(two, channel, "x") for _ in range(5)))
                everything = 6 * len(CHANNELS)
                await until(lambda: len(heard.events) == len(heard_too.events) == everything)
                plain = [name for name in CHANNELS if servers.owner(slot_of(name)) is servers.masters[0]]
                assert 5 < len(plain) < 40
                for channel in CHANNELS:
                    assert sum(hearers(servers, "NUMSUB", channel)) == (2 if channel in plain else 0)
                # One of the old master's slots goes to a new one.
                moving = plain[0]
                for by in (one, two):
                    by.unsubscribe(moving)
                await one.subscribe(moving)
                slot, target = slot_of(moving), servers.masters[1]
                move_begins(slot, servers.masters[0], target)
                move_keys(slot, servers.masters[0], target)
                move_ends(slot, servers, servers.masters[0], target)
                await publish(two, moving, "y")
                # Plain subscriptions are not ended by Redis: that it has moved shows when the map is read anew.
                one._pipe.look()  # type: ignore[union-attr]
                await until(lambda: gaps == [moving])
                await publish(two, moving, "z")
                await until(lambda: heard.data(moving)[-1:] == [b"z"])

        run(main())


def test_a_replica_that_takes_over_is_followed(tmp_path: Path) -> None:
    with ClusterServers(tmp_path, SEVEN) as servers:

        async def main() -> None:
            old = servers.masters[0]
            async with broker(servers) as (one, heard, gaps):
                await asyncio.gather(*(one.subscribe(channel) for channel in CHANNELS))
                mine = [name for name in CHANNELS if servers.owner(slot_of(name)) is old]
                replica = await asyncio.to_thread(servers.replica, old, SEVEN)
                replica.ask("CLUSTER", "FAILOVER")
                await until(lambda: replica.ask("INFO", "replication")["role"] == "master", 10)

                async def arrived() -> bool:
                    try:
                        await publish(one, mine[0], "x")
                        # What it hears of other nodes it hears at a master, too, or it would not be counted.
                        return bool(await one.tell(b"all") == 1 and {*gaps} >= {*mine} and one.available)
                    except BrokerUnavailable:
                        return False

                async with asyncio.timeout(15):
                    while not await arrived():
                        await asyncio.sleep(0.1)
                heard.events.clear()
                await asyncio.gather(*(publish(one, channel, "y") for channel in CHANNELS))
                await until(lambda: all(heard.data(channel)[-1:] == [b"y"] for channel in CHANNELS))

        run(main())
