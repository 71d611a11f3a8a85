"""How long publications are under way: the time is written into each, and read by who gets it."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

import msgspec

from benchmarks.measuring.audience import MARK, Audience, Door, subscribed
from benchmarks.peers import addresses
from flux_gateway.core.errors import CommandError

_STAMP = re.compile(b'"' + re.escape(MARK) + rb'(\d+)"')
_PATIENCE = 20.0
_LATE = 1.05


class Latency(msgspec.Struct, frozen=True):
    """Seconds from the write of a publication until a subscriber has read it."""

    p50: float
    p99: float
    longest: float


class StampedAudience(Audience):
    """Subscribers that note how old each publication is."""

    def __init__(self) -> None:
        super().__init__(prompt=True)
        self.ages: list[int] = []
        """Nanoseconds."""

    def take(self, data: bytes) -> int:
        """Return how many publications are in what a subscriber has read."""
        now = time.monotonic_ns()
        stamps = _STAMP.findall(data)
        self.ages += [now - int(stamp) for stamp in stamps]
        return len(stamps)


def stamp() -> bytes:
    """Return the data of a publication that is sent now."""
    return b'{"at":"%b%d"}' % (MARK, time.monotonic_ns())


async def latency(
    audience: StampedAudience, doors: Sequence[Door], frame: Callable[[int], bytes], rate: float, seconds: float,
    each: int,
) -> Latency:  # fmt: skip
    """Publish at an even pace, whatever comes back, by one client behind each door in turn.

    `frame` makes the publication of the n-th client; each of them is to reach `each` subscribers.
    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        sockets = [stack.enter_context(await subscribed(door, addresses.CLIENTS[0])) for door in doors]
        number = round(rate * seconds)
        everybody = audience.expect(number * each)
        audience.ages.clear()
        began = time.monotonic()
        for turn in range(number):
            wait = began + turn / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            which = turn % len(sockets)
            with suppress(BlockingIOError):  # the answers to those before
                sockets[which].recv(65_536)
            await loop.sock_sendall(sockets[which], frame(which))
        if time.monotonic() - began > seconds * _LATE:
            raise CommandError(f"the machine is too busy to publish {rate:g} times a second")
        try:
            await asyncio.wait_for(everybody, _PATIENCE)
        except TimeoutError:
            raise CommandError("publications were lost; the figures would mean nothing") from None
    ages = sorted(audience.ages)
    return Latency(
        p50=ages[len(ages) // 2] * 1e-9,
        p99=ages[len(ages) * 99 // 100] * 1e-9,
        longest=ages[-1] * 1e-9,
    )
