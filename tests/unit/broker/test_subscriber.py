"""`broker.subscriber`: confirmations in their order, thousands of channels, and everything again after a break."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from flux_gateway.broker.subscriber import Subscriber
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.registry.connect import connect
from tests.unit.broker.support import run
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import until

Message = tuple[bytes, bytes]


@asynccontextmanager
async def subscriber(
    server: RedisServer, heard: list[Message] | None = None, *, changes: list[bool] | None = None, patience: float = 0.5
) -> AsyncIterator[Subscriber]:
    """A subscriber that has been started; `changes` gets to know when it goes up and down."""
    taken: list[Message] = [] if heard is None else heard
    noted: list[bool] = [] if changes is None else changes
    client = connect(server.settings())
    made = Subscriber(
        lambda: client, timeout=patience, changed=lambda: noted.append(made.up),
        receive=lambda *message: taken.append(message),
    )  # fmt: skip
    try:
        await made.start()
        yield made
    finally:
        await made.close()
        await client.aclose()


def send(server: RedisServer, *messages: Message) -> list[int]:
    """Publish, and return how many heard each."""
    with closing(server.client()) as client, client.pipeline(transaction=False) as pipeline:
        for channel, data in messages:
            pipeline.publish(channel, data)
        found: list[int] = pipeline.execute()
        return found


def test_nothing_that_is_published_after_the_confirmation_is_missed(server: RedisServer) -> None:
    async def main() -> None:
        heard: list[Message] = []
        async with subscriber(server, heard) as one:
            for number in range(50):
                channel = f"channel-{number}"
                await one.subscribe(channel)
                assert send(server, (channel.encode(), b"x")) == [1]
            await until(lambda: len(heard) == 50)
            assert heard == [(b"channel-%d" % number, b"x") for number in range(50)]

    run(main())


def test_a_burst_is_handed_over_in_one_go_and_in_order(server: RedisServer) -> None:
    async def main() -> None:
        heard: list[Message] = []
        turns: list[int] = []
        async with subscriber(server, heard) as one:
            await one.subscribe("a")
            messages = [(b"a", b"%d" % number) for number in range(1000)]
            await asyncio.to_thread(send, server, *messages)
            async with asyncio.timeout(5):
                while len(heard) < 1000:
                    turns.append(len(heard))
                    await asyncio.sleep(0)
            assert heard == messages
            assert len(set(turns)) < 500, "many came in one turn of the loop"

    run(main())


def test_thousands_are_subscribed_quickly_and_again_after_a_break(own_server: RedisServer) -> None:
    async def main() -> None:
        channels = [f"channel-{number}" for number in range(5000)]
        changes: list[bool] = []
        heard: list[Message] = []
        async with subscriber(own_server, heard, changes=changes, patience=2) as one:
            started = time.monotonic()
            await asyncio.gather(*(one.subscribe(channel) for channel in channels))
            assert time.monotonic() - started < 2
            with closing(own_server.client()) as client:
                assert len(client.pubsub_channels()) == 5000
                assert client.client_kill_filter(_type="pubsub") == 1
            await until(lambda: changes == [True, False])
            await until(lambda: changes == [True, False, True])
            everywhere = [(channel.encode(), b"x") for channel in channels]
            assert send(own_server, *everywhere) == [1] * 5000, "all were confirmed before it was up"
            await until(lambda: len(heard) == 5000)
            assert heard == everywhere

    run(main())


def test_back_and_forth_ends_as_it_was_asked_last(server: RedisServer) -> None:
    async def main() -> None:
        async with subscriber(server) as one:
            first = asyncio.ensure_future(one.subscribe("a"))
            await asyncio.sleep(0)
            one.unsubscribe("a")
            second = asyncio.ensure_future(one.subscribe("a"))
            twice = asyncio.ensure_future(one.subscribe("a"))
            await asyncio.gather(first, second, twice)
            assert send(server, (b"a", b"x")) == [1]
            await one.subscribe("a")
            one.unsubscribe("a")
            one.unsubscribe("a")
            one.unsubscribe("never")
            await one.subscribe("b")
            assert send(server, (b"a", b"x"), (b"b", b"x")) == [0, 1]

    run(main())


def test_one_of_several_waiters_may_go(server: RedisServer) -> None:
    async def main() -> None:
        async with subscriber(server) as one:
            waiters = [asyncio.ensure_future(one.subscribe("a")) for _ in range(3)]
            await asyncio.sleep(0)
            waiters[0].cancel()
            assert (await asyncio.gather(*waiters, return_exceptions=True))[1:] == [None, None]
            assert send(server, (b"a", b"x")) == [1]

    run(main())


def test_what_is_not_confirmed_when_the_connection_breaks_is_not_subscribed(own_server: RedisServer) -> None:
    async def main() -> None:
        changes: list[bool] = []
        async with subscriber(own_server, changes=changes) as one:
            await one.subscribe("old")
            own_server.pause()
            waiter = asyncio.ensure_future(one.subscribe("new"))
            started = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                await waiter
            assert 0.5 <= time.monotonic() - started < 1.2
            assert not one.wants("new")
            with pytest.raises(BrokerUnavailable):
                await one.subscribe("new")
            own_server.resume()
            await until(lambda: changes == [True, False, True])
            assert send(own_server, (b"old", b"x"), (b"new", b"x")) == [1, 0]
            await one.subscribe("new")

    run(main())


def test_what_was_given_up_while_there_was_no_connection_stays_given_up(own_server: RedisServer) -> None:
    async def main() -> None:
        async with subscriber(own_server) as one:
            await asyncio.gather(one.subscribe("a"), one.subscribe("b"))
            own_server.stop()
            await until(lambda: not one.up)
            one.unsubscribe("a")
            own_server.start()
            await until(lambda: one.up)
            assert send(own_server, (b"a", b"x"), (b"b", b"x")) == [0, 1]

    run(main())


def test_silence_is_noticed_and_a_quiet_connection_kept(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flux_gateway.broker.line.QUIET", 0.1)

    async def main() -> None:
        changes: list[bool] = []
        async with subscriber(own_server, changes=changes) as one:
            await asyncio.sleep(1)
            await one.subscribe("a")
            await asyncio.sleep(1)
            assert changes == [True]
            own_server.pause()
            await until(lambda: changes == [True, False], 3)
            own_server.resume()
            await until(lambda: changes == [True, False, True])

    run(main())


def test_a_subscription_that_is_refused_is_tried_again(own_server: RedisServer) -> None:
    async def main() -> None:
        async with subscriber(own_server) as one:
            with closing(own_server.client()) as client:
                client.acl_setuser("default", enabled=True, nopass=True, reset_channels=True)
                with pytest.raises(BrokerUnavailable):
                    await one.subscribe("a")
                client.acl_setuser("default", enabled=True, nopass=True, channels=["*"])
            await until(lambda: one.up)
            await one.subscribe("a")

    run(main())
