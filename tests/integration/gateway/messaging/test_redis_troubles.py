"""Channels of a node whose Redis is away, has failed over, or forgets."""

import asyncio

import pytest

from flux_gateway.broker import keys
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.state import ClientState, SubscriptionState
from tests.integration.gateway.messaging.places import Place, Seat, run, until
from tests.processes import Stack

KEPT = Namespace(history_size=100, history_ttl=60.0, allow_positioning=True)


@pytest.mark.parametrize("noticed", ["by the connections", "by a check"])
def test_a_replica_that_lagged_takes_over(shared: Stack, noticed: str) -> None:
    channel = f"lagging {noticed}"

    async def body(place: Place) -> None:
        place.endpoint._checked_at = place.node.now() + 3600  # no other check
        watchful, other, publisher = [await Seat().connect(place) for _ in range(3)]
        first = (await watchful.ask("subscribe", channel=channel, positioned=True))["subscribe"]
        await other.ask("subscribe", channel=channel)
        for number in range(5):
            await publisher.ask("publish", channel=channel, data=number)
        assert [(await watchful.hear("pub"))["offset"] for _ in range(5)] == [1, 2, 3, 4, 5]
        assert [(await other.hear("pub"))["offset"] for _ in range(5)] == [1, 2, 3, 4, 5]
        with shared.registry() as redis:
            redis.hset(keys.meta(channel), "o", 2)
            redis.xdel(keys.stream(channel), "3-0", "4-0", "5-0")
            redis.execute_command("XSETID", keys.stream(channel), "2-0")
            if noticed == "by the connections":
                redis.client_kill_filter(_type="normal", skipme=True)
                redis.client_kill_filter(_type="pubsub")
            else:
                await place.endpoint.parts.hub.check(0.0)
        assert (await watchful.hear("unsubscribe"))["code"] == 2500
        again = (await watchful.ask("subscribe", channel=channel, positioned=True))["subscribe"]
        assert again["epoch"] != first["epoch"]
        for number in range(3):
            await publisher.ask("publish", channel=channel, data=f"new {number}")
        for seat in (watchful, other):
            assert [(await seat.hear("pub"))["data"] for _ in range(3)] == ["new 0", "new 1", "new 2"]

    run(shared, body, default=KEPT)


def test_a_channel_that_a_moved_client_waits_for_is_refused_at_once_to_others(stack: Stack) -> None:
    redis = stack.redis()

    async def body(place: Place) -> None:
        seat, moved = await Seat().connect(place), Seat()
        redis.end()
        await until(lambda: not place.broker.available, "Redis is away")
        kept = {"awaited": SubscriptionState(offset=1, epoch="e")}
        await moved.attach(place, moved.frozen(ClientState(client="moved", encoding="json", subscriptions=kept)))
        await until(lambda: "awaited" in place.channels, "the moved client waits for its channel")
        for channel in ("awaited", "other"):
            said = await asyncio.wait_for(seat.ask("subscribe", channel=channel), 1.0)
            assert said["error"]["code"] == 100
        # As soon as Redis is back everybody has the channel.
        redis.restart()
        await until(lambda: place.broker.available, "Redis is back")
        await seat.ask("publish", channel="awaited", data=1)
        await moved.hear("pub")
        await seat.ask("subscribe", channel="awaited")

    run(stack, body)


def test_the_position_of_an_idle_channel_is_kept(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place)
        first = (await seat.ask("subscribe", channel="idle"))["subscribe"]
        await seat.quiet(2.2)
        with shared.registry() as redis:
            assert redis.hget(keys.meta("idle"), "e") == first["epoch"]
        await seat.ask("publish", channel="idle", data=1)
        assert (await seat.hear("pub"))["offset"] == 1

    rules = Namespace(history_size=10, history_ttl=1.0, history_meta_ttl=1.0, force_positioning=True)
    run(shared, body, default=rules, position_check=0.3)
