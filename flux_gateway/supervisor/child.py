"""One supervised process: started, watched, restarted with back-off, held, stopped."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterable

import psutil

from flux_gateway.runtime.logging import fields
from flux_gateway.supervisor import handing
from flux_gateway.supervisor.state_dir import StateDir
from flux_gateway.supervisor.topology import Program

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds until what has crashed starts again: after the first crash in a row, and after many."""

_SETTLED = 30.0
"""Seconds of life after which earlier crashes are forgotten."""

_LOG_LIMIT = 16 * 2**20
"""A log larger than this, bytes, is set aside when its process starts."""


class Child:
    """Keeps one program running until it is stopped or held."""

    def __init__(
        self, program: Program, state: StateDir, on_start: Callable[[], None], sockets: Iterable[socket.socket] = ()
    ) -> None:
        """`sockets` listen already, and every process of this program gets them: those who connect in between wait."""
        self.program = program
        self._sockets = list(sockets)
        self._on_start = on_start
        self._state = state
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._go = asyncio.Event()
        self._go.set()
        self._stop = asyncio.Event()
        self._requested = False
        self.restarts = 0
        """Restarts after a crash, not after a request."""
        self.last_exit = ""
        self.started_at = 0.0
        self.held_until: float | None = None
        """Monotonic time until which a dead process stays dead."""

    @property
    def pid(self) -> int | None:
        """Process id, or None while nothing runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def identity(self) -> tuple[int, float] | None:
        """Return (pid, creation time): what tells this process from a later one with the same pid."""
        pid = self.pid
        try:
            return (pid, psutil.Process(pid).create_time()) if pid else None
        except psutil.Error:
            return None

    def start(self) -> None:
        """Begin to keep the program running."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            await self._allowed()
            if self._stop.is_set():
                return
            try:
                self.last_exit = _exit_text(await self._run_once())
            except OSError as error:
                self.last_exit = f"cannot be started: {error.strerror}"
            if self._stop.is_set():
                return
            if self._requested:
                self._requested = False
                continue
            if time.monotonic() - self.started_at > _SETTLED:
                pause = _FIRST_PAUSE
            self.restarts += 1
            log.error(
                "process ended by itself, restarting",
                extra=fields(name=self.program.name, ended=self.last_exit, seconds=pause, restarts=self.restarts),
            )
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _allowed(self) -> None:
        """Wait while the process is held."""
        while not self._go.is_set():
            left = (self.held_until or 0) - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._go.wait()
            except TimeoutError:
                self.release()

    async def _run_once(self) -> int:
        file = self._state.log(self.program.name)
        if file.exists() and file.stat().st_size > _LOG_LIMIT:
            file.rename(file.with_suffix(".log.old"))
        descriptors = [sock.fileno() for sock in self._sockets]
        with file.open("ab") as stream:
            self._process = await asyncio.create_subprocess_exec(
                *handing.command(self.program.argv, descriptors),
                pass_fds=descriptors,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        self._on_start()
        log.info("started", extra=fields(name=self.program.name, pid=self._process.pid))
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def hold(self, seconds: float) -> None:
        """Once the process has ended, do not start it again before `release`, or before `seconds` have passed."""
        self._go.clear()
        self.held_until = time.monotonic() + seconds
        self._requested = self.pid is not None

    def release(self) -> None:
        """Start a held process again."""
        self.held_until = None
        self._go.set()

    async def restart(self, patience: float) -> None:
        """Stop the process with SIGTERM, in the end with SIGKILL, and let it start again.

        At SIGTERM a proxy leaves its clients to the process that comes next.
        """
        self.release()
        if self.pid is None:
            return
        self._requested = True
        await self._end(signal.SIGTERM, patience)

    async def stop(self, patience: float) -> None:
        """Stop for good: the program's signal for that, after `patience` seconds a second one, then SIGKILL."""
        self._stop.set()
        self._go.set()
        self.close_sockets()
        await self._end(self.program.stop_signal, patience)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def close_sockets(self) -> None:
        """Listen no more on behalf of the program; a process that runs has its own duplicates."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def _end(self, asking: signal.Signals, patience: float) -> None:
        process = self._process
        if process is None:
            return
        for number, seconds in ((asking, patience), (asking, 3.0), (signal.SIGKILL, 5.0)):
            if process.returncode is not None:
                return
            process.send_signal(number)
            try:
                async with asyncio.timeout(seconds):
                    await process.wait()
            except TimeoutError:
                log.warning("does not stop", extra=fields(name=self.program.name, after=seconds, signal=number.name))


def _exit_text(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"status {code}"
