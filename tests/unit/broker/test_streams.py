"""`broker.streams` and its scripts on a real Redis: publishing, reading, and what happens when parts of it are gone."""

import asyncio
from contextlib import closing

import pytest
from redis.crc import key_slot

from flux_gateway.broker import keys
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import ClientInfo, Publication
from tests.unit.broker.support import KEPT, Heard, broker, publish, run, stored
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import until


def test_a_publication_comes_out_as_it_went_in_on_the_bus_and_from_the_stream(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            heard = Heard(one)
            await one.subscribe("news")
            data = b'{"i": 1}\n\x00\xff:' * 3
            info = ClientInfo("ü:ser", "client-1", b'{"a": "b"}', b"\x00")
            sent = Publication(data, info=info, tags={"kind": "x"}, time=1_790_000_000_123)
            position = await one.publish("news", sent, **KEPT)
            await until(lambda: len(heard.events) == 1)
            channel, event = heard.events[0]
            read = await one.history("news", since=None, limit=-1, meta_ttl=600)
            assert (channel, event.kind, event.offset, event.epoch) == ("news", "p", 1, position.epoch)
            assert event.body == Publication(data, 1, info, {"kind": "x"}, 1_790_000_000_123)
            assert read.position == position == Position(1, position.epoch)
            assert list(read.publications) == [event.body]

    run(main())


@pytest.mark.parametrize("channel", ["a", "ns:a", "$a#1,2", "}", "}a{", "a}:meta", "ü", "{b}"])
def test_whatever_a_channel_is_called_it_has_its_own_stream(server: RedisServer, channel: str) -> None:
    async def main() -> None:
        async with broker(server) as one:
            heard = Heard(one)
            await one.subscribe(channel)
            for other in ("a", "}", channel):
                await publish(one, other, f"for {other}")
            assert f"for {channel}".encode() in await stored(one, channel)
            await until(lambda: bool(heard.events))
            assert {name for name, _ in heard.events} == {channel}

    run(main())


@pytest.mark.parametrize("channel", ["a", "}", "}a", "{}", "a}b", "}{a}"])
def test_what_one_script_touches_is_in_one_slot(channel: str) -> None:
    names = [make(channel) for make in (keys.channel, keys.stream, keys.meta, keys.presence, keys.expiry)]
    names.append(keys.idempotency(channel, "any}key{"))
    assert len({key_slot(name.encode()) for name in names}) == 1
    assert len(set(names)) == len(names)


def test_two_brokers_publish_at_once_and_all_hear_the_order_of_the_stream(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server, "gateway-1") as one, broker(server, "gateway-2") as two:
            heard, heard_too = Heard(one), Heard(two)
            await asyncio.gather(one.subscribe("news"), two.subscribe("news"))
            nodes = ((1, one), (2, two))
            work = [publish(by, "news", f"{number}-{i}", size=1000) for i in range(200) for number, by in nodes]
            positions = await asyncio.gather(*work)
            await until(lambda: len(heard.events) == len(heard_too.events) == 400)
            assert sorted(position.offset for position in positions) == list(range(1, 401))
            assert len({position.epoch for position in positions}) == 1
            assert heard.offsets("news") == heard_too.offsets("news") == list(range(1, 401))
            assert heard.data("news") == heard_too.data("news") == await stored(one, "news")
            for number in (b"1", b"2"):
                mine = [data for data in heard.data("news") if data.startswith(number)]
                assert mine == [number + b"-%d" % i for i in range(200)], "each broker's order is kept"

    run(main())


def test_a_stream_keeps_exactly_as_many_as_it_is_told(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            for i in range(25):
                await publish(one, "news", str(i), size=7)
            assert await stored(one, "news") == [b"%d" % i for i in range(18, 25)]
            read = await one.history("news", since=Position(3, ""), limit=2, meta_ttl=600)
            assert [entry.offset for entry in read.publications] == [19, 20], "from a trimmed point: the oldest kept"

    run(main())


def test_a_part_of_the_stream_is_read(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            for i in range(1, 11):
                top = await publish(one, "news", str(i))

            async def read(since: Position | None, limit: int, reverse: bool = False) -> list[int]:
                found = await one.history("news", since=since, limit=limit, reverse=reverse, meta_ttl=600)
                assert found.position == top
                return [entry.offset for entry in found.publications]

            assert await read(None, 0) == []
            assert await read(None, 3) == [1, 2, 3]
            assert await read(None, 3, reverse=True) == [10, 9, 8]
            assert await read(Position(4, top.epoch), -1) == [5, 6, 7, 8, 9, 10]
            assert await read(Position(4, ""), 2) == [5, 6]
            assert await read(Position(4, top.epoch), -1, reverse=True) == [3, 2, 1]
            assert await read(Position(4, "another"), -1) == []
            assert await read(Position(10, top.epoch), -1) == []
            assert await read(Position(99, top.epoch), -1) == []
            assert await read(Position(2**70, top.epoch), -1) == []
            assert await read(Position(2**70, top.epoch), 1, reverse=True) == [10]
            assert await read(Position(0, top.epoch), -1, reverse=True) == []
            assert await read(Position(-5, top.epoch), 1) == [1]

    run(main())


def test_a_stream_begins_when_it_is_first_asked_for(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one, broker(server) as two:
            first = await one.history("news", since=None, limit=0, meta_ttl=600)
            second = await two.history("news", since=None, limit=0, meta_ttl=600)
            assert first.position == second.position == Position(0, first.position.epoch)
            assert first.position.epoch
            assert await publish(two, "news", "x") == Position(1, first.position.epoch)
            now = Position(1, first.position.epoch)
            assert await one.positions(["news", "never", "news"]) == [now, None, now]

    run(main())


def test_position_and_epoch_outlive_the_entries(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            first = await publish(one, "news", "1", ttl=0.05)
            async with asyncio.timeout(5):
                while await stored(one, "news"):
                    await asyncio.sleep(0.01)
            read = await one.history("news", since=None, limit=-1, meta_ttl=600)
            assert read.position == first
            assert await publish(one, "news", "2") == Position(2, first.epoch)
            await one.remove_history("news")
            assert await stored(one, "news") == []
            assert await publish(one, "news", "3") == Position(3, first.epoch)
            assert await stored(one, "news") == [b"3"]

    run(main())


def test_a_forgotten_position_begins_a_new_stream(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            first = await publish(one, "news", "1", meta_ttl=0.05)
            async with asyncio.timeout(5):
                while await one.positions(["news"]) != [None]:
                    await asyncio.sleep(0.01)
            second = await publish(one, "news", "2")
            assert second.offset == 1
            assert second.epoch != first.epoch
            assert await stored(one, "news") == [b"2"], "what the old stream left does not mix with the new one"

    run(main())


@pytest.mark.parametrize("gone", ["stream", "meta"])
def test_half_of_it_lost_breaks_nothing(server: RedisServer, gone: str) -> None:
    async def main() -> None:
        async with broker(server) as one:
            before = [await publish(one, "news", str(i)) for i in range(3)][-1]
            with closing(server.client()) as client:
                assert client.delete({"stream": keys.stream, "meta": keys.meta}[gone]("news")) == 1
            assert await stored(one, "news") == [], "in either case nothing can be relied on"
            after = await publish(one, "news", "x")
            assert (after.epoch == before.epoch) is (gone == "stream")
            assert after.offset == (4 if gone == "stream" else 1)
            assert await stored(one, "news") == [b"x"]

    run(main())


@pytest.mark.parametrize("spoilt", ["stream", "meta"])
def test_a_stream_that_does_not_fit_its_position_gives_way_to_a_new_one(server: RedisServer, spoilt: str) -> None:
    async def main() -> None:
        async with broker(server) as one:
            before = [await publish(one, "news", str(i)) for i in range(3)][-1]
            with closing(server.client()) as client:
                if spoilt == "stream":
                    client.set(keys.stream("news"), "no stream at all")
                else:
                    client.hset(keys.meta("news"), "o", "1")
            after = await publish(one, "news", "x")
            assert after.offset == 1
            assert after.epoch != before.epoch
            assert await stored(one, "news") == [b"x"]
            assert (await publish(one, "news", "y")) == Position(2, after.epoch)

    run(main())


def test_a_stream_that_is_behind_what_was_heard_of_it_ends(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            top = [await publish(one, "news", str(i)) for i in range(3)][-1]
            assert not await one.renew("news", top)
            assert not await one.renew("news", Position(9, "another"))
            assert not await one.renew("never", top)
            assert (await publish(one, "news", "x")) == Position(4, top.epoch)
            assert await one.renew("news", Position(5, top.epoch))
            after = await publish(one, "news", "y")
            assert after.offset == 1
            assert after.epoch != top.epoch
            assert await stored(one, "news") == [b"y"]

    run(main())


def test_a_redis_that_comes_back_empty_begins_new_streams(own_server: RedisServer) -> None:
    async def main() -> None:
        async with broker(own_server) as one:
            heard = Heard(one)
            await one.subscribe("news")
            before = await publish(one, "news", "1")
            await until(lambda: heard.data("news") == [b"1"])
            own_server.stop()
            await until(lambda: not one.available)
            own_server.start()
            await until(lambda: one.available)
            assert await one.positions(["news"]) == [None]
            after = await publish(one, "news", "2")
            assert after.offset == 1
            assert after.epoch != before.epoch
            await until(lambda: heard.data("news") == [b"1", b"2"])

    run(main())


def test_the_same_idempotency_key_publishes_once(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one, broker(server) as two:
            heard = Heard(one)
            await one.subscribe("news")
            work = [publish(by, "news", f"{i}", idempotency_key="key}:stream") for i in range(10) for by in (one, two)]
            positions = await asyncio.gather(*work)
            other = await publish(one, "news", "other", idempotency_key="other")
            elsewhere = await publish(one, "sport", "x", idempotency_key="other")
            assert set(positions) == {Position(1, other.epoch)}
            assert other.offset == 2
            assert elsewhere.offset == 1
            await until(lambda: heard.data("news")[-1:] == [b"other"])
            assert heard.offsets("news") == [1, 2]

    run(main())


def test_an_idempotency_key_is_forgotten_in_time(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            first = await publish(one, "news", "1", idempotency_key="key", idempotency_ttl=0.05)
            second = first
            async with asyncio.timeout(5):
                while second == first:
                    second = await publish(one, "news", "2", idempotency_key="key", idempotency_ttl=0.05)
                    await asyncio.sleep(0.01)
            assert second.offset == 2

    run(main())


def test_a_version_that_is_not_newer_is_passed_over(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:

            async def offset(version: int, epoch: str = "") -> int:
                return (await publish(one, "news", f"{version}{epoch}", version=version, version_epoch=epoch)).offset

            assert await offset(9) == 1
            assert await offset(9) == 1
            assert await offset(8) == 1
            assert await offset(10) == 2, "numbers, not texts, are compared"
            assert await offset(2**64 - 2) == 3
            assert await offset(2**64 - 2) == 3
            assert await offset(2**64 - 1) == 4, "all 64 bits count"
            assert await offset(1, "b") == 5, "versions of another epoch begin anew"
            assert await offset(1, "b") == 5
            assert await offset(1) == 5, "without an epoch, that of the last one is meant"
            assert (await publish(one, "news", "x")).offset == 6, "without a version it always goes through"
            assert await offset(1, "b") == 6
            assert await stored(one, "news") == [b"9", b"10", b"%d" % (2**64 - 2), b"%d" % (2**64 - 1), b"1b", b"x"]

    run(main())


def test_without_history_it_is_delivered_and_nothing_else(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            heard = Heard(one)
            await one.subscribe("news")
            await publish(one, "news", "1")
            assert await publish(one, "news", "2", skip_history=True) == Position(0, "")
            assert await publish(one, "news", "3", skip_history=True, idempotency_key="k") == Position(0, "")
            assert await publish(one, "news", "4", skip_history=True, idempotency_key="k") == Position(0, "")
            await publish(one, "news", "5")
            await until(lambda: len(heard.events) == 4)
            assert heard.data("news") == [b"1", b"2", b"3", b"5"]
            assert heard.offsets("news") == [1, 0, 0, 2]
            assert await stored(one, "news") == [b"1", b"5"]

    run(main())


def test_versions_count_also_for_what_is_not_kept(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            heard = Heard(one)
            await one.subscribe("news")
            for version in (5, 4, 5, 6):
                await publish(one, "news", str(version), version=version, skip_history=True)
            assert (await publish(one, "news", "6 kept", version=6)).offset == 0
            assert (await publish(one, "news", "7", version=7)).offset == 1
            assert (await publish(one, "news", "7 again", version=7, skip_history=True)).offset == 1
            await publish(one, "news", "end")
            await until(lambda: b"end" in heard.data("news"))
            assert heard.data("news") == [b"5", b"6", b"7", b"end"]

    run(main())


def test_what_is_not_written_by_a_node_is_passed_over(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with broker(server) as one:
            heard = Heard(one)
            await one.subscribe("news")
            await publish(one, "news", "1")
            with closing(server.client()) as client:
                for message in (b"", b"p", b"x1:e:", b"p1:e", b"px:e:", b"p1:e:junk", b"j0::\x90"):
                    client.publish(keys.channel("news"), message)
                client.xadd(keys.stream("news"), {"p": b"junk"}, id="2-0")
                client.xadd(keys.stream("news"), {"p": b"junk"}, id="3-7")
            await publish(one, "sport", "x")
            assert await stored(one, "news") == [b"1"]
            await publish(one, "news", "after", skip_history=True)
            await until(lambda: len(heard.events) == 2)
            assert heard.data("news") == [b"1", b"after"]
            assert "cannot be handled" in caplog.text
            assert "cannot be read" in caplog.text

    run(main())
