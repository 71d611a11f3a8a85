"""A keeper of our own."""

import socket
import sys
import time
from pathlib import Path

from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError

_PATIENCE = 10.0


class KeeperProcess(Process):
    """`flux keeper`, waited for on its own kind of socket."""

    def __init__(self, folder: Path, *, measured: bool = True) -> None:
        self.path = folder / "keeper" / "keeper.sock"
        argv = [sys.executable, "-m", "flux_gateway", "keeper", "--log-level", "warning", "--socket", str(self.path)]
        super().__init__(argv, ("", 0), folder / "keeper.log", measured=measured)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                try:
                    probe.connect(str(self.path))
                except OSError:
                    if time.monotonic() > deadline:
                        raise CommandError(f"the keeper does not listen; see {self._log}") from None
                    time.sleep(0.02)
                else:
                    return
