"""Listening sockets that the supervisor keeps: whoever connects while a process is replaced waits, and is served."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from flux_gateway.runtime import tcp
from flux_gateway.supervisor import child as child_module
from tests.unit.supervisor.support import supervised, until

SERVES = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})
import os, socket
assert os.environ.pop("LISTEN_PID") == str(os.getpid())
assert os.environ.pop("LISTEN_FDS") == "1"
listener = socket.socket(fileno=3)
listener.setblocking(True)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.send(str(os.getpid()).encode())
    connection.close()
"""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_FIRST_PAUSE", 0.05)


async def served_by(address: tuple[str, int]) -> int:
    reader, writer = await asyncio.open_connection(*address)
    with contextlib.closing(writer):
        return int(await reader.read())


def test_whoever_connects_after_a_kill_waits_for_the_next_process(tmp_path: Path) -> None:
    async def main() -> None:
        listener = tcp.listener("127.0.0.1", 0, 64, shared=True)
        address = listener.getsockname()
        async with supervised(SERVES, tmp_path, sockets=[listener]) as one:
            await one.ready()
            assert await served_by(address) == one.pids[0]
            one.child.hold(60)
            os.kill(one.pids[0], signal.SIGKILL)
            await until(lambda: one.child.pid is None)
            waiting = [asyncio.create_task(served_by(address)) for _ in range(20)]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in waiting)  # neither refused nor reset
            one.child.release()
            assert await asyncio.gather(*waiting) == [one.pids[1]] * 20
            await one.child.restart(5.0)
            await one.ready(3)
            assert await served_by(address) == one.pids[2]

    asyncio.run(main())


def test_nobody_is_refused_however_often_the_process_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        listener = tcp.listener("127.0.0.1", 0, 64, shared=True)
        address = listener.getsockname()
        async with supervised(SERVES, tmp_path, sockets=[listener]) as one:
            await one.ready()

            async def visit() -> None:
                while len(one.pids) < 4:
                    # What is in a killed process's hands is cut, and that is not the listener's doing.
                    with contextlib.suppress(ConnectionResetError, ValueError):
                        await served_by(address)

            async def kill() -> None:
                for count in (1, 2, 3):
                    await one.ready(count)
                    os.kill(one.pids[-1], signal.SIGKILL)
                    await until(lambda count=count: len(one.pids) > count)  # type: ignore[misc]

            await asyncio.gather(kill(), *(visit() for _ in range(8)))  # ConnectionRefusedError would end this

    asyncio.run(main())


def test_the_address_is_free_when_the_child_is_stopped_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        listener = tcp.listener("127.0.0.1", 0, 64, shared=True)
        address = listener.getsockname()
        async with supervised(SERVES, tmp_path, sockets=[listener]) as one:
            await one.ready()
            await one.child.stop(5.0)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=5)

    asyncio.run(main())
