"""`broker.broker`: both connections together, what channels hear, and what nodes tell each other."""

import asyncio
import time
from contextlib import closing

import pytest

from flux_gateway.broker.events import Kind
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.messaging.publication import ClientInfo
from tests.unit.broker.support import Heard, broker, publish, run, stored
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import until


def test_only_what_is_subscribed_is_heard(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one, broker(server, "gateway-2") as two:
            heard = Heard(one)
            await asyncio.gather(one.subscribe("a"), one.subscribe("b"))
            await publish(two, "a", "1")
            one.unsubscribe("a")
            await publish(two, "a", "2")
            await publish(two, "c", "3")
            await publish(two, "b", "4")
            await one.subscribe("a")
            await publish(two, "a", "5")
            await until(lambda: heard.data("b") == [b"4"] and heard.data("a")[-1:] == [b"5"])
            assert [data for data in heard.data("a") if data != b"1"] == [b"5"]
            assert heard.data("c") == []

    run(main())


def test_joins_and_leaves_are_heard_in_their_order(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            heard = Heard(one)
            await one.subscribe("a")
            info = ClientInfo("user", "client", b'{"name":"n"}', b"\x00")
            await one.join("a", info)
            await publish(one, "a", "hello")
            await one.leave("a", info)
            await one.join("b", info)
            await until(lambda: len(heard.events) == 3)
            assert [event.kind for _, event in heard.events] == [Kind.JOIN, Kind.PUBLICATION, Kind.LEAVE]
            for _, event in heard.events[::2]:
                assert (event.body, event.offset, event.epoch) == (info, 0, "")

    run(main())


def test_a_handler_that_fails_does_not_keep_the_rest_from_coming(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server) as one:
            taken: list[int] = []

            def take(_: str, event: object) -> None:
                taken.append(1)
                raise ValueError("on purpose")

            one.on_event = take
            await one.subscribe("a")
            await publish(one, "a", "1")
            await publish(one, "a", "2")
            await until(lambda: len(taken) == 2)
            assert one.available

    run(main())


def test_nodes_tell_each_other(server: RedisServer) -> None:
    async def main() -> None:
        async with broker(server, "gateway-1") as one, broker(server, "gateway-2") as two:
            told: list[tuple[int, bytes]] = []
            one.on_control = lambda data: told.append((1, data))
            two.on_control = lambda data: told.append((2, data))
            assert await one.tell(b"to all\x00") == 2
            assert await one.tell(b"to two", "gateway-2") == 1
            assert await one.tell(b"to nobody", "gateway-3") == 0
            await until(lambda: len(told) == 3)
            assert sorted(told) == [(1, b"to all\x00"), (2, b"to all\x00"), (2, b"to two")]

    run(main())


def test_it_is_back_only_when_everything_is_heard_again(own_server: RedisServer) -> None:
    async def main() -> None:
        async with broker(own_server) as one, broker(own_server, "gateway-2") as two:
            heard = Heard(one)
            told: list[bytes] = []
            one.on_control = told.append
            hearers: list[int] = []
            await asyncio.gather(*(one.subscribe(f"channel-{i}") for i in range(1000)))

            def on_back() -> None:
                heard.changes.append("back" if one.available else "too early")
                with closing(own_server.client()) as client:
                    hearers.extend(count for _, count in client.pubsub_numsub("gateway:channel:{channel-999}"))
                    hearers.append(len(client.pubsub_channels("gateway:channel:*")))

            one.on_back = on_back
            own_server.terminate()
            await until(lambda: heard.changes == ["lost"])
            assert not one.available
            own_server.start()
            await until(lambda: heard.changes == ["lost", "back"])
            assert hearers == [1, 1000]
            await until(lambda: two.available)
            await publish(two, "channel-999", "x")
            assert await two.tell(b"hello") == 2
            await until(lambda: heard.data("channel-999") == [b"x"] and told == [b"hello"])

    run(main())


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_either_connection_that_breaks_makes_it_unavailable_for_a_moment(own_server: RedisServer, kind: str) -> None:
    async def main() -> None:
        async with broker(own_server) as one:
            heard = Heard(one)
            await one.subscribe("a")
            with closing(own_server.client()) as client:
                client.client_kill_filter(_type=kind, skipme=True)
            await until(lambda: heard.changes == ["lost", "back"])
            await publish(one, "a", "x")
            await until(lambda: heard.data("a") == [b"x"])

    run(main())


@pytest.mark.parametrize("how", ["stop", "terminate", "pause"])
def test_without_redis_every_command_fails_at_once_or_in_time_and_works_afterwards(
    own_server: RedisServer, how: str
) -> None:
    async def main() -> None:
        async with broker(own_server, patience=0.5) as one:
            await publish(one, "a", "1")
            getattr(own_server, how)()
            started = time.monotonic()
            info = ClientInfo("user", "client")
            for _ in range(2):
                outcomes = await asyncio.gather(
                    publish(one, "a", "2"), one.history("a", since=None, limit=1, meta_ttl=9), one.positions(["a"] * 9),
                    one.remove_history("a"), one.join("a", info), one.leave("a", info), one.add_presence("a", info, 9),
                    one.remove_presence("a", "client"), one.presence("a"), one.presence_stats("a"),
                    one.save_record("s", 1, b"", 9), one.load_record("s"), one.drop_record("s", 1),
                    one.claim_connection("u", "client", 1, 9), one.release_connection("u", "client"), one.tell(b"x"),
                    one.subscribe("a"),
                    return_exceptions=True,
                )  # fmt: skip
                assert [type(outcome) for outcome in outcomes] == [BrokerUnavailable] * len(outcomes)
                took = time.monotonic() - started
                assert took < (1.2 if how == "pause" else 0.5)
            assert not one.available
            assert time.monotonic() - started < took + 0.1, "the second time at once"
            if how == "pause":
                own_server.resume()
            else:
                own_server.start()
            await until(lambda: one.available)
            await publish(one, "a", "3")
            assert (await stored(one, "a"))[-1] == b"3"

    run(main())
