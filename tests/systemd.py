"""What systemd is to a daemon, for tests without it: NOTIFY_SOCKET, and sockets passed by descriptor."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

WRAPPER = """
import os, sys
count, *argv = sys.argv[1:]
high = [os.dup2(int(fd), 200 + at) for at, fd in enumerate(argv[: int(count)])]
for at, fd in enumerate(high):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES=":".join(["clients"] * int(count)))
argv = argv[int(count):]
os.execv(argv[0], argv)
"""
"""Puts descriptors where sd_listen_fds(3) looks for them, and becomes the program under the same process id."""


def activated(argv: list[str], sockets: list[socket.socket]) -> list[str]:
    """Return the arguments that start `argv` with these listening sockets, all named `clients`. Pass their fds on."""
    return [sys.executable, "-c", WRAPPER, str(len(sockets)), *(str(sock.fileno()) for sock in sockets), *argv]


class NotifySocket:
    """systemd's end of NOTIFY_SOCKET, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.told: list[tuple[float, str, str]] = []
        """(monotonic seconds, key, value) of every line so far."""

    def read(self) -> None:
        """Take in what has arrived."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in self._socket.recv(4096).decode().splitlines():
                    key, _, value = line.partition("=")
                    self.told.append((time.monotonic(), key, value))

    def wait(self, key: str, value: str = "", seconds: float = 20.0) -> None:
        """Wait until a line has come with this key, and this value unless empty."""
        def there() -> bool:
            self.read()
            return any(k == key and (not value or v == value) for _, k, v in self.told)

        end = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < end, f"no {key}={value} within {seconds:g} s: {self.told}"
            time.sleep(0.01)

    def count(self, key: str) -> int:
        """Return how many lines have come with this key."""
        self.read()
        return sum(k == key for _, k, _ in self.told)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@contextlib.contextmanager
def notified(folder: Path, **variables: str) -> Iterator[NotifySocket]:
    """Let the processes started within the block find a NOTIFY_SOCKET, and further variables, in their environment."""
    sock = NotifySocket(folder)
    before = os.environ.copy()
    os.environ.update(variables, NOTIFY_SOCKET=str(sock.path))
    try:
        yield sock
    finally:
        os.environ.clear()
        os.environ.update(before)
        sock.close()
