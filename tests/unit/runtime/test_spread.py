"""`runtime.spread`: evenly over a time, and an end when it is over."""

import asyncio
from itertools import pairwise

from flux_gateway.runtime.spread import spread, within


async def closed_at(
    count: int, seconds: float, over_after: float | None = None
) -> tuple[list[float], list[int], float]:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    times: list[float] = []
    items: list[int] = []
    started = loop.time()

    def act(item: int) -> None:
        times.append(loop.time() - started)
        items.append(item)

    if over_after is not None:
        loop.call_later(over_after, over.set)
    await spread(range(count), act, seconds, over)
    return times, items, loop.time() - started


def test_every_item_gets_its_turn_once_in_order_and_evenly() -> None:
    times, items, took = asyncio.run(closed_at(20, 0.5))
    assert items == list(range(20))
    for number, at in enumerate(times):
        assert at >= 0.5 * number / 20 - 0.01
    assert max(later - earlier for earlier, later in pairwise(times)) < 0.3
    assert took < 1.5


def test_without_time_all_happen_at_once() -> None:
    times, items, _ = asyncio.run(closed_at(1000, 0.0))
    assert len(items) == 1000
    assert max(times) < 0.5


def test_without_items_it_returns_at_once() -> None:
    assert asyncio.run(closed_at(0, 60.0))[2] < 0.5


def test_when_it_is_over_the_rest_is_left_and_it_returns_at_once() -> None:
    _, items, took = asyncio.run(closed_at(1000, 60.0, over_after=0.1))
    assert 0 < len(items) < 100
    assert took < 1.0


def test_when_it_is_over_from_the_start_nothing_happens() -> None:
    async def main() -> list[int]:
        over, seen = asyncio.Event(), list[int]()
        over.set()
        await spread([1, 2], seen.append, 0.0, over)
        return seen

    assert asyncio.run(main()) == []


def test_within_tells_whether_the_event_came_in_time() -> None:
    async def main() -> list[bool]:
        event = asyncio.Event()
        late = await within(event, 0.02)
        asyncio.get_running_loop().call_soon(event.set)
        return [late, await within(event, 5.0), await within(event, 0.0), await within(event, -1.0)]

    assert asyncio.run(main()) == [False, True, True, True]
