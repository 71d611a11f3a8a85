"""`broker.feed` at masters with sharded pub/sub: what is asked for in a row, and a master that hangs."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from flux_gateway.core.errors import BrokerUnavailable
from tests.unit.broker.cluster_servers import ClusterServers
from tests.unit.broker.redis_versions import SEVEN
from tests.unit.broker.sharded import CHANNELS, broker, hearers, slot_of, together
from tests.unit.broker.support import publish, run
from tests.unit.registry.support import until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    with ClusterServers(tmp_path_factory.mktemp("feed"), SEVEN) as made:
        yield made


def test_who_subscribes_unsubscribes_and_subscribes_again_hears_it_in_the_end(servers: ClusterServers) -> None:
    async def main() -> None:
        async with broker(servers) as (one, heard, gaps):
            first = asyncio.ensure_future(one.subscribe("a"))
            await asyncio.sleep(0)
            one.unsubscribe("a")
            await asyncio.gather(one.subscribe("a"), first)
            assert hearers(servers, "SHARDNUMSUB", "a") == [0, 0, 1]
            await publish(one, "a", "x")
            await until(lambda: heard.data("a") == [b"x"])
            assert gaps == []

    run(main())


def test_a_master_that_hangs_is_noticed_and_nobody_waits_for_it(servers: ClusterServers) -> None:
    async def main() -> None:
        hanging = servers.owner(slot_of("known"))
        async with broker(servers) as (one, heard, gaps):
            await asyncio.gather(*(one.subscribe(channel) for channel in ("known", *CHANNELS)))
            late = together("known", 2)
            hanging.process.send_signal(signal.SIGSTOP)
            try:
                waiting = [asyncio.ensure_future(one.subscribe(name)) for name in late]
                async with asyncio.timeout(5):
                    for each in waiting:
                        with pytest.raises(BrokerUnavailable):
                            await each
                    await until(lambda: not one._subscriber.up)
                    assert heard.changes == ["lost"]
                    with pytest.raises(BrokerUnavailable):
                        await one.subscribe(late[0])
            finally:
                hanging.process.send_signal(signal.SIGCONT)
            await until(lambda: heard.changes == ["lost", "back"], 10)
            await until(hanging.healthy, 10)
            for channel in ("known", *late):
                await publish(one, channel, "x")
            await until(lambda: heard.data("known") == [b"x"])
            assert [heard.data(channel) for channel in late] == [[], []]
            assert hearers(servers, "SHARDNUMSUB", late[0]) == [0, 0, 0]
            assert gaps == []

    run(main())
