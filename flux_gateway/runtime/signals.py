"""SIGTERM and SIGINT: the first asks to drain, the second to end at once.

Where a program can leave its work to its next process, SIGTERM asks for that and SIGINT for an end without a next one.
"""

import asyncio
import signal


class StopSignals:
    """Two flags set by signals; nothing else happens in the handler."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self.first: signal.Signals | None = None
        """What `drain` was set by."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        self.first = self.first or number
        (self.now if self.drain.is_set() else self.drain).set()


async def wait_for(event: asyncio.Event, *tasks: "asyncio.Task[None]") -> None:
    """Wait for the event or the end of one of the tasks; raise what a task raised."""
    waiter = asyncio.create_task(_wait(event))
    finished, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    for task in finished:
        task.result()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
