"""`broker.records`: a session's record is written by whoever was attached last, and by nobody else."""

import asyncio
from contextlib import closing

from flux_gateway.broker import keys
from tests.unit.broker.support import broker, run
from tests.unit.registry.server import RedisServer


def test_a_record_is_kept_for_its_time(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            assert await one.load_record("s") is None
            assert await one.save_record("s", 1, b"\x00\xff", 60)
            assert await one.load_record("s") == b"\x00\xff"
            assert await one.load_record("other") is None
            assert await one.save_record("s", 1, b"short", 0.05)
            await asyncio.sleep(0.1)
            assert await one.load_record("s") is None
            with closing(server.client()) as client:
                assert client.keys("gateway:*") == []

    run(main())


def test_who_was_overtaken_writes_and_removes_nothing(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server, "gateway-1") as old, broker(server, "gateway-2") as new:
            assert await old.save_record("s", 9, b"old", 60)
            assert await old.save_record("s", 9, b"old too", 60)
            assert await new.save_record("s", 10, b"new", 60), "fences are numbers, not texts"
            assert not await old.save_record("s", 9, b"late", 60)
            assert not await old.drop_record("s", 9)
            assert await new.load_record("s") == b"new"

    run(main())


def test_a_session_that_is_over_is_not_brought_back_by_a_straggler(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            assert await one.save_record("s", 2, b"record", 600)
            assert await one.drop_record("s", 2)
            assert await one.load_record("s") is None
            assert not await one.save_record("s", 1, b"late", 600)
            assert await one.load_record("s") is None
            with closing(server.client()) as client:
                assert 0 < client.pttl(keys.session("s")) <= 60_000, "and it is forgotten soon"
            assert await one.save_record("s", 3, b"attached anew", 600)
            assert await one.load_record("s") == b"attached anew"
            assert await one.drop_record("unknown", 5), "its record was never written, or is on its way"
            assert not await one.save_record("unknown", 4, b"late", 600)

    run(main())
