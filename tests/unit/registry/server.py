"""A real redis-server for tests: own port on an own loopback address, stopped, started and emptied at will."""

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis

from flux_gateway.registry.connect import RedisSettings, connect_blocking
from flux_gateway.supervisor.topology import redis_binary

HOST = "127.30.3.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class RedisServer:
    """One redis-server that keeps nothing on disk: stopped and started again it comes back empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, heartbeat_interval: float = 5.0) -> RedisSettings:
        return RedisSettings(host=HOST, port=self.port, timeout=1.0, heartbeat_interval=heartbeat_interval)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [redis_binary("redis-server"), "--bind", HOST, "--port", str(self.port), "--dir", str(self.folder),
             "--save", "", "--appendonly", "no", "--protected-mode", "no"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        with contextlib.closing(self.client()) as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError:
                    assert self._process.poll() is None, "redis-server ended"
                    assert time.monotonic() < deadline, "redis-server does not answer"
                    time.sleep(0.01)  # another program's start can only be asked for
                else:
                    return

    def stop(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> None:
        """Ask it to end, and wait until it has."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)
        self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was paused."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        return connect_blocking(self.settings())

    def flush(self) -> None:
        with contextlib.closing(self.client()) as client:
            client.flushall()
