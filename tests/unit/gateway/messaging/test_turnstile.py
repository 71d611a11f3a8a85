"""Storms of connects."""

import asyncio

import pytest

from flux_gateway.gateway.messaging.turnstile import Turnstile
from flux_gateway.messaging.codes import ClientError, ErrorCode


async def _enter(turnstile: Turnstile, done: list[float]) -> None:
    await turnstile.enter()
    done.append(asyncio.get_running_loop().time())


def test_without_a_rate_everybody_enters_at_once() -> None:
    async def run() -> None:
        turnstile = Turnstile(0, 1)
        await asyncio.gather(*(turnstile.enter() for _ in range(1000)))
        assert len(turnstile) == 0

    asyncio.run(run())


def test_a_storm_enters_in_order_and_not_faster_than_the_rate() -> None:
    async def run() -> None:
        turnstile, done = Turnstile(200, 1000), list[float]()
        begun = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(_enter(turnstile, done)) for _ in range(60)]
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
        assert done == sorted(done)
        # The first ones come from the credit of one step.
        assert done[-1] - begun >= (60 - 200 * 0.02 - 1) / 200

    asyncio.run(run())


def test_too_many_are_told_to_come_back_and_the_others_enter() -> None:
    async def run() -> None:
        turnstile, done = Turnstile(50, 5), list[float]()
        tasks = [asyncio.create_task(_enter(turnstile, done)) for _ in range(20)]
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        refused = [one for one in outcomes if one is not None]
        assert all(isinstance(one, ClientError) for one in refused)
        assert {one.code for one in refused if isinstance(one, ClientError)} == {ErrorCode.TOO_MANY_REQUESTS}
        assert len(done) == 6
        assert len(refused) == 14

    asyncio.run(run())


def test_who_leaves_while_waiting_takes_no_turn() -> None:
    async def run() -> None:
        turnstile, done = Turnstile(50, 10), list[float]()
        first = asyncio.create_task(_enter(turnstile, done))
        await first
        leaving = asyncio.create_task(_enter(turnstile, done))
        staying = asyncio.create_task(_enter(turnstile, done))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.wait_for(staying, 5)
        assert len(turnstile) == 0
        assert len(done) == 2

    asyncio.run(run())
