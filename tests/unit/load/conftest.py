"""What every test of the engine runs in: nothing may be left behind."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import uvloop

Main = Callable[[], Coroutine[Any, Any, None]]


def _open_files() -> set[str]:
    """Sockets and epoll sets. (libuv opens one pipe for the whole process with its first loop.)"""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own descriptor
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith("socket:") or target.endswith("[eventpoll]"):
                found.add(f"{number} {target}")
    return found


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Run a coroutine function on a fresh loop and fail if it leaves a task, a socket or an epoll set."""

    def go(main: Main) -> None:
        async def checked() -> None:
            await main()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, others

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        before = _open_files()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(checked())
        left = _open_files() - before
        if left:  # perhaps only garbage that has not been collected
            gc.collect()
            left = _open_files() - before
        assert not left, left

    return go
