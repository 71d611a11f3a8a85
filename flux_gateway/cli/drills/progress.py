"""The progress of a drill on the terminal: a bar with the step in words; silent when nobody watches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flux_gateway.cli.drills.step import Say
from flux_gateway.cli.terminal import err

_REFRESH = 0.2


@contextlib.asynccontextmanager
async def shown(seconds: float) -> AsyncIterator[Say]:
    """Show a bar for about `seconds`; yields the function that says what happens now."""
    if not err.is_terminal:
        yield lambda text: err.print(text)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("connecting", total=seconds)

        async def advance() -> None:
            while True:
                await asyncio.sleep(_REFRESH)
                progress.advance(bar, _REFRESH)

        ticking = asyncio.create_task(advance(), name="progress")
        try:
            yield lambda text: progress.update(bar, description=text)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)


def run(main: Any) -> Any:
    """Run a drill's coroutine on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
