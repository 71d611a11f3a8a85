"""Much work for a back end at once: in slices, between which the clients of the node have their turn.

Redis is asked for not more than so much at a time, by all calls together: the rest of what may wait for its answers
(`broker.pipe.IN_FLIGHT`) is for the clients.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import TypeVar

SLICE = 250
"""Calls begun in one turn of the loop: some ten milliseconds. Also how many publications of all calls of back ends
together may wait for Redis: more wait here.
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_slices(carry_out: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Carry out something for all of many, side by side, but for not too many of them at a time."""
    results: list[Result] = []
    left = iter(items)
    while part := list(islice(left, SLICE)):
        results += await asyncio.gather(*map(carry_out, part))
    return results
