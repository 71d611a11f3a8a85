"""`broker.cluster` on a Redis Cluster of three masters: every channel at its own, and slots that move."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.crc import key_slot

from flux_gateway.broker import keys
from flux_gateway.broker.broker import Broker
from flux_gateway.broker.cluster import Cluster, ClusterPipes
from flux_gateway.broker.pipe import Asked
from flux_gateway.broker.refresh import LifeSign
from flux_gateway.broker.slots import Address
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.messaging.publication import ClientInfo
from tests.unit.broker.cluster_servers import ClusterServers, move_begins, move_ends, move_keys
from tests.unit.broker.redis_versions import EMBEDDED, SEVEN, RedisVersion
from tests.unit.broker.support import Heard, publish, run, stored
from tests.unit.registry.server import HOST
from tests.unit.registry.support import until

CHANNELS = [f"channel-{i}" for i in range(60)]


@pytest.fixture(scope="module", params=[EMBEDDED, SEVEN], ids=["plain", "sharded"])
def shared_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterServers]:
    with ClusterServers(tmp_path_factory.mktemp("cluster"), request.param) as servers:
        yield servers


@pytest.fixture
def servers(shared_servers: ClusterServers) -> ClusterServers:
    """The shared cluster, empty."""
    for one in shared_servers.masters:
        one.ask("FLUSHALL")
    return shared_servers


@asynccontextmanager
async def broker(cluster: Cluster, node_id: str = "gateway-1") -> AsyncIterator[Broker]:
    made = Broker(cluster, timeout=1.0, node_id=node_id)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


def test_every_channel_is_at_its_master_and_heard_everywhere(servers: ClusterServers) -> None:
    async def main() -> None:
        async with broker(servers.cluster()) as one, broker(servers.cluster(), "gateway-2") as two:
            assert one.available
            heard, heard_too = Heard(one), Heard(two)
            await asyncio.gather(*(by.subscribe(channel) for by in (one, two) for channel in CHANNELS))
            work = [publish(by, channel, f"{i}") for i in range(20) for channel in CHANNELS for by in (one, two)]
            await asyncio.gather(*work)
            await until(lambda: len(heard.events) == len(heard_too.events) == 40 * len(CHANNELS))
            for channel in CHANNELS:
                assert heard.offsets(channel) == heard_too.offsets(channel) == list(range(1, 41))
                assert heard.data(channel) == heard_too.data(channel) == await stored(two, channel)
            assert [position and position.offset for position in await one.positions(CHANNELS)] == [40] * len(CHANNELS)
        sizes = [one.ask("DBSIZE") for one in servers.masters]
        assert sum(sizes) == 2 * len(CHANNELS)
        assert min(sizes) > 20

    run(main())


def test_everything_else_works_in_a_cluster_too(servers: ClusterServers) -> None:
    async def main() -> None:
        async with broker(servers.cluster()) as one, broker(servers.cluster(), "gateway-2") as two:
            info = ClientInfo("ann", "client")
            told: list[bytes] = []
            two.on_control = told.append
            for channel in ("}", *CHANNELS):
                await publish(one, channel, "x", idempotency_key="key")
                assert (await publish(two, channel, "y", idempotency_key="key")).offset == 1
                await one.add_presence(channel, info, 60)
                assert await two.presence(channel) == {"client": info}
                assert await two.presence_stats(channel) == (1, 1)
                assert await one.save_record(channel, 1, b"record", 60)
                assert await two.load_record(channel) == b"record"
            sign = LifeSign(CHANNELS[0], "ann", "client", [(channel, info) for channel in CHANNELS])
            assert await one.touch([sign], presence_ttl=60, record_ttl=60) == []
            assert await one.tell(b"hello", "gateway-2") == 1
            assert await one.tell(b"hello", "gateway-3") == 0
            assert [await by.tell(b"all") for by in (one, two)] == [2, 2]
            await until(lambda: sorted(told) == [b"all", b"all", b"hello"])

    run(main())


def redirections(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collect the kinds of answers with which commands are sent elsewhere."""
    pipes = broker._commands
    assert isinstance(pipes, ClusterPipes)
    answers: set[str] = set()
    redirected = pipes._redirected

    def noted(by: Address, asked: Asked, error: str) -> bool:
        answers.add(error.partition(" ")[0])
        return redirected(by, asked, error)

    monkeypatch.setattr(pipes, "_redirected", noted)
    return answers


@pytest.mark.parametrize("shared_servers", [EMBEDDED], indirect=True, ids=["plain"])
def test_a_slot_that_moves_is_followed_and_nothing_is_lost_or_out_of_order(
    servers: ClusterServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        channel = "moving"
        slot = key_slot(keys.meta(channel).encode())
        source = servers.owner(slot)
        target = next(one for one in servers.masters if one is not source)
        async with broker(servers.cluster()) as one:
            heard = Heard(one)
            answers = redirections(one, monkeypatch)
            await one.subscribe(channel)
            sent = 0

            async def send(count: int) -> None:
                nonlocal sent
                numbers = range(sent, sent + count)
                sent += count
                await asyncio.gather(*(publish(one, channel, str(number), size=10_000) for number in numbers))

            await send(50)
            move_begins(slot, source, target)
            await send(50)  # the keys are still at the source
            move_keys(slot, source, target, 1)
            between = asyncio.ensure_future(send(1))  # one key here, one there: TRYAGAIN
            await until(lambda: "TRYAGAIN" in answers)
            move_keys(slot, source, target)
            await between
            await send(50)  # ASK
            move_ends(slot, servers, source, target)
            await send(50)  # MOVED
            await send(50)
            assert answers == {"TRYAGAIN", "ASK", "MOVED"}
            try:
                await until(lambda: len(heard.events) == sent)
                assert heard.offsets(channel) == list(range(1, sent + 1))
                assert heard.data(channel) == [b"%d" % number for number in range(sent)] == await stored(one, channel)
            finally:
                move_begins(slot, target, source)
                move_keys(slot, target, source)
                move_ends(slot, servers, target, source)

    run(main())


def test_it_is_found_by_any_seed_and_not_available_without(servers: ClusterServers) -> None:
    async def main() -> None:
        nobody = (HOST, 1)
        async with broker(servers.cluster(nobody, (HOST, servers.masters[2].port))) as one:
            assert one.available
            await publish(one, "a", "x")
        async with broker(servers.cluster(nobody)) as one:
            assert not one.available
            with pytest.raises(BrokerUnavailable):
                await publish(one, "a", "x")

    run(main())


@pytest.mark.parametrize("version", [EMBEDDED, SEVEN], ids=["plain", "sharded"])
def test_a_master_that_is_away_takes_only_its_channels_along(tmp_path: Path, version: RedisVersion) -> None:
    with ClusterServers(tmp_path, version) as servers:

        async def main() -> None:
            async with broker(servers.cluster()) as one:
                heard = Heard(one)
                await asyncio.gather(*(one.subscribe(channel) for channel in CHANNELS))
                gone = servers.masters[1]
                gone.process.kill()
                gone.process.wait()
                await until(lambda: heard.changes == ["lost"])
                outcomes = await asyncio.gather(
                    *(publish(one, channel, "x") for channel in CHANNELS), return_exceptions=True
                )
                failed = [isinstance(outcome, BrokerUnavailable) for outcome in outcomes]
                assert 5 < sum(failed) < 40
                gone.start()
                await until(lambda: heard.changes == ["lost", "back"], 15)
                await until(gone.healthy, 15)
                heard.events.clear()
                await asyncio.gather(*(publish(one, channel, "y") for channel in CHANNELS))
                await until(lambda: sum(heard.data(channel) == [b"y"] for channel in CHANNELS) == len(CHANNELS))

        run(main())
