"""Doing something to many, evenly spread over a time, so that those it happens to do not all come back at once."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from flux_gateway.core.pacing import due_closes

T = TypeVar("T")

_STEP = 0.05
"""Seconds between two slices."""


async def spread(items: Sequence[T], act: Callable[[T], None], seconds: float, over: asyncio.Event) -> None:
    """Call `act` on each item, evenly over `seconds`. Returns when all are done, or as soon as `over` is set."""
    loop = asyncio.get_running_loop()
    started, done = loop.time(), 0
    while done < len(items) and not over.is_set():
        due = due_closes(len(items), started, started + seconds, loop.time())
        for item in items[done:due]:
            act(item)
        done = max(done, due)
        if done < len(items):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STEP):
                    await over.wait()


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most `seconds`. Returns whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    return event.is_set()
