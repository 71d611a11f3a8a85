"""New clients during a drill: one after another opens a connection with a fresh key, asks `/whoami`, and leaves."""

import asyncio
import time
from collections import Counter

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

_PAUSE = 0.05
"""Seconds between two new clients."""

_PATIENCE = 10.0
"""Seconds after which a new client gives up."""


class Probes(msgspec.Struct, frozen=True):
    """What new clients saw in one phase."""

    served: int = 0
    failed: int = 0
    slowest: float = 0.0
    """Seconds from dialling to the first answer, of the slowest one that was served."""
    nodes: dict[str, int] = {}


class Prober:
    """Keeps new clients coming, several at a time if some have to wait."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._number = 0
        self._probes: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._served: Counter[str] = Counter()
        self._failed = 0
        self._slowest = 0.0

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="prober")

    def take(self) -> Probes:
        """Return what was seen since the last call."""
        probes = Probes(self._served.total(), self._failed, self._slowest, dict(self._served))
        self._reset()
        return probes

    async def stop(self) -> None:
        """Send no more, and wait for those under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._probes)

    async def _run(self) -> None:
        while True:
            probe = asyncio.create_task(self._probe(self._number), name=f"probe {self._number}")
            self._number += 1
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)
            await asyncio.sleep(_PAUSE)

    async def _probe(self, number: int) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE):
                async with connect(f"{self._url}/whoami?session=probe-{number}", compression=None) as socket:
                    await socket.send("?")
                    facts = msgspec.json.decode(await socket.recv())
        except (OSError, TimeoutError, WebSocketException):
            self._failed += 1
        else:
            self._served[facts["node"]] += 1
            self._slowest = max(self._slowest, time.monotonic() - started)
