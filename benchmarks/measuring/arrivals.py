"""Clients that keep arriving, at an even pace, whatever happens: each opens a connection and leaves."""

import asyncio
import time

from benchmarks.measuring.visits import visit
from flux_gateway.load.handshake import HandshakeFailed

_PATIENCE = 10.0
"""Seconds after which a client gives up."""


class Arrivals:
    """New connections from `start` to `stop`."""

    def __init__(self, address: tuple[str, int], source: str, rate: float) -> None:
        self._address, self._source, self._pause = address, source, 1 / rate
        self._under_way: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.reset()

    def reset(self) -> None:
        """Count from zero again."""
        self.served = 0
        self.failed: list[str] = []
        self.slowest = 0.0

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="arrivals")

    async def stop(self) -> None:
        """Let nobody in any more and wait for those under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.settled()

    async def settled(self) -> None:
        """Wait until everybody who is under way now has been served or has failed."""
        await asyncio.gather(*self._under_way)

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            task = asyncio.create_task(self._arrive())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due += self._pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _arrive(self) -> None:
        started = time.monotonic()
        took: list[float] = []
        try:
            async with asyncio.timeout(_PATIENCE):
                await visit(self._address, self._source, lambda: took.append(time.monotonic() - started))
        except (OSError, HandshakeFailed) as error:  # TimeoutError is an OSError
            # Somebody who was served already is no new connection any more: the fault may well cut that one.
            if not took:
                self.failed.append(str(error) or type(error).__name__)
        if took:
            self.served += 1
            self.slowest = max(self.slowest, took[0])
