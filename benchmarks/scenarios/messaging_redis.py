"""What the move window costs Redis: a publication into a channel without history beside a plain `PUBLISH`."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Step
from benchmarks.measuring.publishers import DATA, broker, to_window
from benchmarks.measuring.redis_cost import publication_cost
from benchmarks.peers import cores, flux
from benchmarks.scenarios.effort import Effort
from flux_gateway.messaging.publication import Publication

NAME = "messaging: Redis"

_CHANNEL = "bench"


async def run(folder: Path, effort: Effort, step: Step) -> list[Figure]:
    """Publish by a broker as nodes do; the same one hears it."""
    cores.pin(os.getpid(), cores.OTHERS)
    with flux.redis(folder) as redis:
        cores.pin(redis.pid, cores.MEASURED)
        async with broker() as mine:
            await mine.subscribe(_CHANNEL)
            ways: dict[str, Callable[[], Awaitable[object]]] = {
                # To the channel of this one node, which hears it: a PUBLISH and nothing else.
                "plain": partial(mine.tell, DATA, "benchmark"),
                "window": partial(to_window, mine, _CHANNEL, DATA),
                "script": partial(mine.publish, _CHANNEL, Publication(data=DATA), size=0, ttl=1, meta_ttl=1,
                                  skip_history=True),
            }  # fmt: skip
            found: dict[str, list[float]] = {name: [] for name in ways}
            names = list(ways)
            for number in range(effort.rounds):
                step(f"{NAME}: {number + 1} of {effort.rounds}")
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    found[name].append(1e6 * await publication_cost(redis, ways[name], effort.seconds))
    title = "CPU of Redis per publication"
    return [
        Figure(scenario=NAME, name=f"{title}: with the move window / PUBLISH", unit="us",
               ours=found["window"], other=found["plain"]),
        Figure(scenario=NAME, name=f"{title}: the script alone / PUBLISH", unit="us",
               ours=found["script"], other=found["plain"]),
    ]  # fmt: skip


PARTS = (run,)
