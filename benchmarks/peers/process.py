"""A child process of the benchmark: started in its own group, pinned, waited for, stopped."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.peers import cores
from flux_gateway.core.errors import CommandError

_PATIENCE = 20.0
"""Seconds until a started process must accept connections."""

_GRACE = 5.0
"""Seconds a process gets to end after SIGTERM."""


class Process:
    """One process. A context manager: whatever happens inside, the process is gone afterwards."""

    def __init__(self, argv: list[str], address: tuple[str, int], log: Path, measured: bool) -> None:
        self._log = log
        self.name = log.stem
        self.address = address
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        self.pid = self._process.pid
        cores.pin(self.pid, cores.MEASURED if measured else cores.OTHERS)

    def __enter__(self) -> Self:
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._process.poll() is not None:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
                raise CommandError(f"{self.name} ended at once:\n{tail}")
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise CommandError(f"{self.name} does not listen on {self.address[0]}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End the process and its group."""
        if self._process.poll() is None:
            # Twice: the programs drain at the first signal and end at the second.
            for number, seconds in ((signal.SIGTERM, 0.2), (signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
                os.killpg(self.pid, number)
                try:
                    self._process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue
                return
