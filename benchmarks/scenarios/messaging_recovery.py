"""Clients that come back all at once and have missed publications: until every one has them."""

import asyncio
import os
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Step
from benchmarks.measuring.audience import Door, audience
from benchmarks.measuring.publishers import DATA, broker
from benchmarks.measuring.storm import storm
from benchmarks.peers import addresses, cores, flux, messaging
from benchmarks.scenarios.effort import Effort
from flux_gateway.broker.broker import Broker
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import Publication

NAME = "messaging: recovery"

_CLIENTS = 1000
_MISSED = 20
_SIZE, _TTL = 100, 600.0
"""What the channels keep; `peers.messaging` configures the same."""
_SETTLE = 1.5


async def run(folder: Path, effort: Effort, step: Step, *, channels: int) -> list[Figure]:
    """Let everybody leave, publish, let everybody come back; beside it, the same clients as new ones."""
    cores.pin(os.getpid(), cores.OTHERS)
    clients = effort.clients(_CLIENTS)
    names = [f"{messaging.HISTORY}{number % channels}" for number in range(clients)]
    title = f"{clients:,} clients, {'one channel' if channels == 1 else f'{min(channels, clients):,} channels'}"
    back, new = [], []
    with flux.redis(folder), messaging.node(folder):
        async with broker() as mine:
            for number in range(effort.rounds):
                step(f"{NAME}: {title}: {number + 1} of {effort.rounds}")
                new.append(_storm([messaging.hello(name) for name in names], 0))
                await asyncio.sleep(_SETTLE)
                positions = await _miss(mine, names)
                hellos = [messaging.back(name, *positions[name]) for name in names]
                back.append(_storm(hellos, _MISSED, b'"recovered":true'))
                await asyncio.sleep(_SETTLE)
    return [
        Figure(scenario=NAME, name=f"{title}, {_MISSED} missed by each / new ones: all there", unit="s",
               ours=back, other=new),
    ]  # fmt: skip


def _storm(hellos: list[bytes], missed: int, ready: bytes = messaging.READY) -> float:
    return storm(addresses.NODE, messaging.PATH, hellos, ready, missed)


async def _miss(mine: Broker, names: list[str]) -> dict[str, Position]:
    """Let everybody subscribe and leave, and publish into their channels; return where these were before."""
    doors = [Door(addresses.NODE, messaging.PATH, messaging.hello(name), messaging.READY) for name in names]
    async with audience(doors):
        pass
    channels = list(dict.fromkeys(names))
    await asyncio.sleep(_SETTLE)
    found = await mine.positions(channels)
    kept = partial(mine.publish, size=_SIZE, ttl=_TTL, meta_ttl=_TTL)
    for channel in channels:
        await asyncio.gather(*(kept(channel, Publication(data=DATA)) for _ in range(_MISSED)))
    return {name: position for name, position in zip(channels, found, strict=True) if position is not None}


PARTS = tuple(partial(run, channels=channels) for channels in (1, _CLIENTS))
