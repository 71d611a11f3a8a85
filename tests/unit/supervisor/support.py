"""Shared by the supervisor's tests: small programs, and children that are ended whatever happens."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from flux_gateway.supervisor.child import Child
from flux_gateway.supervisor.state_dir import StateDir
from flux_gateway.supervisor.topology import Program

SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"
CRASHES = "import sys; print('ready', flush=True); sys.exit(3)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
TELLS = """
import signal, time
def told(number, _):
    print(signal.Signals(number).name, flush=True)
    raise SystemExit
for number in (2, 15): signal.signal(number, told)
print('ready', flush=True)
while True: time.sleep(600)
"""
SECOND_TERM = """
import signal, time
def first(*_):
    print('first', flush=True)
    signal.signal(15, second)
def second(*_):
    print('second', flush=True)
    raise SystemExit
signal.signal(15, first)
print('ready', flush=True)
while True: time.sleep(600)
"""


def program(code: str, name: str = "gateway-1", kind: str = "gateway") -> Program:
    return Program(name, kind, (sys.executable, "-S", "-c", code), (), None, "127.30.3.5")


class Supervised:
    """A child, and every process it has started."""

    def __init__(self, what: Program, state: StateDir, sockets: Iterable[socket.socket] = ()) -> None:
        self.pids: list[int] = []
        self.times: list[float] = []
        self._log = state.log(what.name)
        self.child = Child(what, state, self._started, sockets)

    def _started(self) -> None:
        self.times.append(time.monotonic())
        if self.child.pid is not None:
            self.pids.append(self.child.pid)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    async def ready(self, count: int = 1) -> None:
        """Wait until the program has got under way `count` times."""
        await until(lambda: self.log().count("ready") >= count)


@asynccontextmanager
async def supervised(
    code: str, folder: Path, *, start: bool = True, sockets: Iterable[socket.socket] = ()
) -> AsyncIterator[Supervised]:
    state = StateDir(folder)
    state.create()
    one = Supervised(program(code), state, sockets)
    if start:
        one.child.start()
    try:
        yield one
    finally:
        current = one.child.pid
        if current is not None:
            with suppress(ProcessLookupError):
                os.kill(current, signal.SIGKILL)
        await one.child.stop(1.0)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait until the condition holds; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come to pass"
        await asyncio.sleep(0.01)
    return time.monotonic() - started
