"""`runtime.notify`: what systemd hears, over a real datagram socket."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_gateway.runtime.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """systemd's end of the socket, and the value of NOTIFY_SOCKET."""
    path = str(tmp_path / "notify")
    address = path if request.param == "path" else f"@flux-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        sock.settimeout(5)
        yield sock, address


def heard(sock: socket.socket) -> list[str]:
    """Return what has arrived so far."""
    found = []
    sock.setblocking(False)
    try:
        while True:
            found.append(sock.recv(4096).decode())
    except BlockingIOError:
        return found


def test_ready_state_and_stopping_are_told(systemd: tuple[socket.socket, str]) -> None:
    sock, address = systemd

    async def main() -> None:
        state = ["UP, 0 sessions"]
        notifier = Notifier(lambda: state[0], {"NOTIFY_SOCKET": address})
        notifier.ready()
        state[0] = "UP, 7\nsessions"
        notifier.changed()
        notifier.stopping()
        notifier.close()
        notifier.changed()

    asyncio.run(main())
    assert heard(sock) == [
        "READY=1\nSTATUS=UP, 0 sessions", "STATUS=UP, 7 sessions", "STOPPING=1\nSTATUS=UP, 7 sessions",
    ]  # fmt: skip


def test_the_watchdog_is_fed_three_times_per_period_and_not_by_a_loop_that_stands_still(
    systemd: tuple[socket.socket, str]
) -> None:
    sock, address = systemd

    async def main() -> tuple[list[str], list[str]]:
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
        notifier = Notifier(lambda: "x", environment)
        await asyncio.sleep(0.65)
        turning = heard(sock)
        time.sleep(0.65)  # noqa: ASYNC251 - a loop that stands still is the point
        standing = heard(sock)
        notifier.close()
        return turning, standing

    turning, standing = asyncio.run(main())
    assert 4 <= len(turning) <= 8
    assert set(turning) == {"WATCHDOG=1\nSTATUS=x"}
    assert standing == []


@pytest.mark.parametrize("changes", [
    {"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "often"},
])  # fmt: skip
def test_no_watchdog_unless_this_one_is_watched(systemd: tuple[socket.socket, str], changes: dict[str, str]) -> None:
    sock, address = systemd

    async def main() -> None:
        notifier = Notifier(lambda: "x", {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000"} | changes)
        await asyncio.sleep(0.1)
        notifier.close()

    asyncio.run(main())
    assert heard(sock) == []


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    async def main() -> None:
        notifier = Notifier(lambda: "x", environment | {"WATCHDOG_USEC": "1000"})
        notifier.ready()
        notifier.changed()
        notifier.stopping()
        notifier.close()

    asyncio.run(main())


def test_a_systemd_that_does_not_read_never_holds_up_the_loop(systemd: tuple[socket.socket, str]) -> None:
    _, address = systemd

    async def main() -> float:
        notifier = Notifier(lambda: "x", {"NOTIFY_SOCKET": address})
        started = time.monotonic()
        for _ in range(5000):
            notifier.changed()
        notifier.close()
        return time.monotonic() - started

    assert asyncio.run(main()) < 2
