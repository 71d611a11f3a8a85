"""When a process that is not ours has ended."""

import asyncio
import os


async def ended(pid: int, seconds: float) -> None:
    """Wait until a process has ended; its open files are closed by then. Raises `TimeoutError`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        async with asyncio.timeout(seconds):
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
