"""The dashboard as a child process, for tests."""

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.dashboard.world import free_port


class Dashboard:
    """`flux dashboard` as a child process; its log goes to a file."""

    def __init__(self, redis_port: int, folder: Path, *arguments: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.log = folder / f"dashboard-{self.port}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flux_gateway", "dashboard", "--port", str(self.port),
                 "--redis-port", str(redis_port), *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "FLUX_REDIS_HEARTBEAT_INTERVAL": "60"},
            )

    def status(self, path: str) -> int:
        """GET `path`; 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def stop(self, sign: int = signal.SIGTERM) -> float:
        """Stop it and return the seconds that took; kill it when it does not."""
        began = time.monotonic()
        self.process.send_signal(sign)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
