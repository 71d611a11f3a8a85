"""`runtime.loop_watch`: how late the loop is, under both loops."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from flux_gateway.runtime.loop_watch import LoopWatch

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    def go(main: Coroutine[Any, Any, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main)

    return go


async def ticked(watch: LoopWatch) -> None:
    """Wait for two ticks."""
    await asyncio.sleep(2.5 * watch.INTERVAL)


def test_a_blocked_loop_shows_in_lag_age_and_worst(run: Run) -> None:
    async def main() -> None:
        watch = LoopWatch()
        watch.worst("reader")
        time.sleep(0.4)  # noqa: ASYNC251 - blocking is what is measured
        assert watch.age() >= 0.25
        for _ in range(3):
            await asyncio.sleep(0)
        assert watch.lag >= 0.25
        await ticked(watch)
        assert watch.worst("reader") >= 0.25
        watch.stop()

    run(main())


def test_each_reader_is_told_the_worst_since_it_asked_last(run: Run) -> None:
    async def main() -> None:
        watch = LoopWatch()
        watch.worst("one")
        watch.worst("two")
        time.sleep(0.5)  # noqa: ASYNC251
        await ticked(watch)
        assert watch.worst("one") >= 0.35
        assert watch.worst("one") < 0.35
        assert watch.worst("two") >= 0.35
        watch.stop()

    run(main())


def test_an_idle_loop_is_not_late(run: Run) -> None:
    async def main() -> None:
        watch = LoopWatch()
        lags = []
        for _ in range(5):
            await asyncio.sleep(0.06)
            lags.append(max(watch.lag, watch.age()))
        assert min(lags) < 0.1
        watch.stop()

    run(main())


def test_a_stopped_watch_does_not_tick(run: Run) -> None:
    async def main() -> None:
        watch = LoopWatch()
        watch.stop()
        await ticked(watch)
        assert watch.age() >= watch.INTERVAL
        assert watch.lag == 0

    run(main())
