"""Rights that end or are renewed."""

import asyncio
import signal
import time

from flux_gateway.messaging.namespaces import Namespace
from tests.integration.gateway.messaging.places import Place, Seat, run, token
from tests.processes import Stack

PRESENT = Namespace(presence=True, allow_subscribe_for_client=True)


def test_the_end_of_a_subscription_is_told_before_anything_is_awaited(stack: Stack) -> None:
    redis = stack.redis()

    async def body(place: Place) -> None:
        seat = await Seat().connect(place, token=token())
        right = token(channel="short", exp=time.time() + 0.7)
        assert (await seat.ask("subscribe", channel="short", token=right))["subscribe"]["expires"]
        redis.signal(signal.SIGSTOP)
        try:
            # Before the broker gives up, after 2 seconds.
            push = await asyncio.wait_for(seat.hear("unsubscribe"), 1.8)
        finally:
            redis.signal(signal.SIGCONT)
        assert push["code"] == 2501
        while await place.broker.presence("short"):
            await asyncio.sleep(0.02)

    run(stack, body, tokens=True, refresh_grace=0.1, default=PRESENT)


def test_a_new_token_that_has_lost_a_channel_makes_the_client_come_back(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place, token=token(exp=time.time() + 60, channels=["secret", "open"]))
        same = token(exp=time.time() + 90, channels=["open", "secret"])
        assert (await seat.ask("refresh", token=same))["refresh"]["expires"]
        seat.say({"id": 9, "refresh": {"token": token(exp=time.time() + 90, channels=["open"])}})
        assert await seat.end() == 3010
        assert place.channels == []

    run(shared, body, tokens=True)


def test_a_new_token_with_one_channel_more_makes_the_client_come_back(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place, token=token(exp=time.time() + 60))
        await seat.ask("subscribe", channel="own")
        assert (await seat.ask("refresh", token=token(exp=time.time() + 90)))["refresh"]["expires"]
        seat.say({"id": 9, "refresh": {"token": token(exp=time.time() + 90, channels=["more"])}})
        assert await seat.end() == 3010

    run(shared, body, tokens=True, default=PRESENT)


def test_many_refreshes_keep_one_entry(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place, token=token(exp=time.time() + 1000))
        expiries = place.endpoint.parts.expiries
        same = token(exp=time.time() + 2000)
        for first in range(0, 4000, 100):
            seat.say(*({"id": 100 + first + number, "refresh": {"token": same}} for number in range(100)))
            for _ in range(100):
                assert "refresh" in await seat.read()
        assert len(expiries) <= 2  # the first one is passed over when its time comes

    run(shared, body, tokens=True)


def test_many_refreshes_to_other_times_do_not_pile_up(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place, token=token(exp=time.time() + 1000))
        for first in range(0, 2000, 100):
            later = [token(exp=time.time() + 2000 + first + number) for number in range(100)]
            seat.say(*({"id": 100 + first + number, "refresh": {"token": one}} for number, one in enumerate(later)))
            for _ in later:
                assert "refresh" in await seat.read()
        assert len(place.endpoint.parts.expiries) < 1100

    run(shared, body, tokens=True)
