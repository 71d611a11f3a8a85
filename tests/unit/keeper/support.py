"""Shared by the keeper's tests: keepers as processes, clients with their task, pairs of TCP connections."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from flux_gateway.keeper.client import Keeper
from flux_gateway.keeper.link import count

SECONDS = 10.0
"""Longer than anything here takes."""



class KeeperProcess:
    """`flux keeper`, with its socket in a directory of its own."""

    def __init__(self, folder: Path, argv: tuple[str, ...] = ()) -> None:
        self.path = folder / "keeper" / "k.sock"
        self.log = folder / "keeper.log"
        self._argv = argv
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [*self._argv, sys.executable, "-m", "flux_gateway", "keeper", "--socket", str(self.path)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    async def ready(self) -> "KeeperProcess":
        """Wait until it answers."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                await count(str(self.path))
                return self
            except OSError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < end
                await asyncio.sleep(0.01)

    async def again(self) -> None:
        """Start it anew."""
        self._process = self._start()
        await self.ready()

    async def count(self) -> int:
        """Return how many connections it keeps."""
        return await count(str(self.path))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it and return its exit status."""
        self._process.send_signal(number)
        return self._process.wait(SECONDS)

    def held(self) -> int:
        """Return how many descriptors of TCP connections it has open."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        inodes = {f"socket:[{line.split()[9]}]" for line in lines}
        files = [os.readlink(file) for file in Path(f"/proc/{self.pid}/fd").iterdir()]
        return sum(file in inodes for file in files)


@contextlib.contextmanager
def keeper(folder: Path, argv: tuple[str, ...] = ()) -> Iterator[KeeperProcess]:
    process = KeeperProcess(folder, argv)
    try:
        yield process
    finally:
        process.end()


@contextlib.asynccontextmanager
async def client(path: Path, on_connected: Callable[[], None] = lambda: None) -> AsyncIterator[Keeper]:
    """A client that runs; within the block its task must not end."""
    one = Keeper(str(path), on_connected)
    task = asyncio.create_task(one.run())
    try:
        yield one
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Pair:
    """What a proxy holds of a connection, `client` and `backend`, and the far end of each."""

    def __init__(self) -> None:
        self.client, self.far_client = _connection()
        self.backend, self.far_backend = _connection()

    def drop(self) -> None:
        """Close the proxy's own descriptors, as its death does."""
        self.client.close()
        self.backend.close()

    def close(self) -> None:
        for sock in (self.client, self.far_client, self.backend, self.far_backend):
            sock.close()


def _connection() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname(), timeout=SECONDS)
        near, _ = listener.accept()
    near.setblocking(False)
    return near, far


@contextlib.contextmanager
def pairs(number: int) -> Iterator[list[Pair]]:
    made = [Pair() for _ in range(number)]
    try:
        yield made
    finally:
        for pair in made:
            pair.close()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.01)


def key(number: int) -> str:
    return f"{number:032x}"
