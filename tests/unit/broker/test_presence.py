"""`broker.presence` and `refresh`: who is there, for how long, and how many connections a user has."""

import asyncio
import time
from contextlib import closing

import pytest

from flux_gateway.broker import keys
from flux_gateway.broker.refresh import LifeSign
from flux_gateway.messaging.publication import ClientInfo
from tests.unit.broker.support import broker, run
from tests.unit.registry.server import RedisServer

ANN = ClientInfo("ann", "client-a", b'{"n":1}')
ANN_TOO = ClientInfo("ann", "client-b", b"", b"\x00\xff")
BOB = ClientInfo("bob", "client-c")
NOBODY = ClientInfo("", "client-d")


def test_who_is_there(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            for info in (ANN, ANN_TOO, BOB, NOBODY, ANN):
                await one.add_presence("a", info, 60)
            await one.add_presence("b", BOB, 60)
            assert await one.presence("a") == {info.client: info for info in (ANN, ANN_TOO, BOB, NOBODY)}
            assert await one.presence_stats("a") == (4, 3)
            await one.remove_presence("a", BOB.client)
            await one.remove_presence("a", "never there")
            assert sorted(await one.presence("a")) == ["client-a", "client-b", "client-d"]
            assert await one.presence_stats("a") == (3, 2)
            assert await one.presence("b") == {BOB.client: BOB}
            assert await one.presence("c") == {}
            assert await one.presence_stats("c") == (0, 0)

    run(main())


@pytest.mark.parametrize("reading", ["presence", "presence_stats", "add_presence"])
def test_who_does_not_say_so_in_time_is_not_there_any_more(server: RedisServer, reading: str) -> None:
    async def main() -> None:
        async with broker(server) as one:
            await one.add_presence("a", ANN, 0.2)
            await one.add_presence("a", BOB, 60)
            assert len(await one.presence("a")) == 2
            await asyncio.sleep(0.25)
            if reading == "presence":
                assert await one.presence("a") == {BOB.client: BOB}
            elif reading == "presence_stats":
                assert await one.presence_stats("a") == (1, 1)
            else:
                await one.add_presence("a", BOB, 60)
            with closing(server.client()) as client:
                assert client.hkeys(keys.presence("a")) == [BOB.client.encode()], "nothing is left of it"
                assert client.zrange(keys.expiry("a"), 0, -1) == [BOB.client.encode()]

    run(main())


def test_nothing_is_left_of_a_channel_that_everybody_has_left(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            await one.add_presence("a", ANN, 0.1)
            await one.claim_connection("ann", ANN.client, 1, 0.1)
            await asyncio.sleep(0.2)
            with closing(server.client()) as client:
                assert client.keys("gateway:*") == []

    run(main())


def test_what_is_not_written_by_a_node_is_passed_over(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            await one.add_presence("a", ANN, 60)
            with closing(server.client()) as client:
                client.hset(keys.presence("a"), "stranger", "junk")
            assert await one.presence("a") == {ANN.client: ANN}
            assert await one.presence_stats("a") in ((1, 1), (2, 2))

    run(main())


def test_users_are_told_apart_however_long_their_ids_are(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            users = [letter * length for length in (1, 31, 32, 255, 256, 70_000) for letter in "aü"]
            for user in users:
                for client in "12":
                    await one.add_presence("a", ClientInfo(user, f"{user[:300]}{len(user)}{client}"), 60)
            assert await one.presence_stats("a") == (2 * len(users), len(users))

    run(main())


def test_a_user_has_so_many_connections(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one, broker(server) as two:
            nodes = ((1, one), (2, two))
            wishes = [(by, f"{number}-{i}") for i in range(10) for number, by in nodes]
            granted = await asyncio.gather(*(by.claim_connection("ann", client, 5, 60) for by, client in wishes))
            mine = [client for (_, client), yes in zip(wishes, granted, strict=True) if yes]
            assert len(mine) == 5
            assert await one.claim_connection("ann", mine[0], 5, 60), "one that is counted already"
            assert not await one.claim_connection("ann", "new", 5, 60)
            assert await one.claim_connection("bob", "new", 5, 60)
            await one.release_connection("ann", mine[0])
            assert await one.claim_connection("ann", "new", 5, 60)
            assert await one.claim_connection("ann", "unlimited", 0, 60)

    run(main())


def test_a_connection_that_is_not_refreshed_does_not_count(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            assert await one.claim_connection("ann", "old", 2, 0.1)
            assert await one.claim_connection("ann", "kept", 2, 60)
            assert not await one.claim_connection("ann", "new", 2, 60)
            await asyncio.sleep(0.15)
            assert await one.claim_connection("ann", "new", 2, 60)

    run(main())


def test_many_say_at_once_that_they_are_still_there(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            signs = [
                LifeSign(
                    f"session-{i}", f"user-{i % 2}" if i % 3 else "", f"client-{i}",
                    [(f"channel-{n}", ClientInfo(f"user-{i % 2}", f"client-{i}")) for n in range(3)],
                )
                for i in range(1500)
            ]  # fmt: skip
            for i in range(0, 1500, 2):
                assert await one.save_record(f"session-{i}", 1, b"record", 5)
            started = time.monotonic()
            missing = await one.touch(signs, presence_ttl=60, record_ttl=600)
            assert time.monotonic() - started < 3
            assert missing == [f"session-{i}" for i in range(1, 1500, 2)]
            assert await one.presence_stats("channel-2") == (1500, 2)
            assert await one.load_record("session-0") == b"record"
            with closing(server.client()) as client:
                assert 500_000 < client.pttl(keys.session("session-0")) <= 600_000
                assert client.zcard(keys.user("user-0")) == 500
                assert client.zcard(keys.user("")) == 0
            assert await one.touch([], presence_ttl=60, record_ttl=600) == []

    run(main())
