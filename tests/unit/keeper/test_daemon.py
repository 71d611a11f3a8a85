"""`flux keeper` as a process: who may talk to it, where it listens, how it ends."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flux_gateway.cli.main import main as flux
from flux_gateway.keeper import protocol
from tests.systemd import notified
from tests.unit.keeper.support import SECONDS, client, keeper, key, pairs

STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.settimeout(5)
sock.connect(sys.argv[1])
try:
    sock.send(bytes.fromhex(sys.argv[2]))
    answer = sock.recv(1000)
except ConnectionError:
    answer = b""
print(answer.hex())
"""


def ran(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(SECONDS)
    sock.connect(str(path))
    return sock


def ask(sock: socket.socket, request: protocol.Request, descriptors: tuple[int, ...] = ()) -> protocol.Answer:
    protocol.send(sock, request, descriptors)
    data, given = protocol.receive(sock)
    protocol.close(given)
    answer: protocol.Answer = protocol.decode_answer(data)
    return answer


def test_the_socket_is_the_owner_s_alone(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process:
            await process.ready()
            assert stat.S_IMODE(process.path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(process.path.stat().st_mode) == 0o600

    asyncio.run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_turned_away_even_where_the_files_would_let_him_in(tmp_path: Path) -> None:
    # The way there is open to nobody but root in pytest's own directories.
    folder = Path("/tmp") / f"flux-keeper-{os.getpid()}"
    folder.mkdir(mode=0o755)

    async def main() -> None:
        with keeper(folder) as process:
            await process.ready()
            process.path.parent.chmod(0o755)
            process.path.chmod(0o666)
            question = protocol.encode(protocol.Count()).hex()
            done = await asyncio.to_thread(ran, [sys.executable, "-S", "-c", STRANGER, str(process.path), question])
            assert done.returncode == 0
            assert done.stdout.strip() == ""
            assert "a stranger was turned away" in process.log.read_text()
            assert "uid=65534" in process.log.read_text()
            assert await process.count() == 0  # and it still answers its own

    try:
        asyncio.run(main())
    finally:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        folder.rmdir()


def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "open").mkdir(mode=0o750)
    assert flux(["keeper", "--socket", str(tmp_path / "open" / "k.sock")]) == 1
    assert f"chmod 700 {tmp_path}/open" in capsys.readouterr().err


def test_there_is_one_keeper_per_socket_and_a_killed_one_leaves_no_obstacle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process:
            await process.ready()
            with connected(process.path) as sock:
                argv = [sys.executable, "-m", "flux_gateway", "keeper", "--socket", str(process.path)]
                second = await asyncio.to_thread(ran, argv)
                assert second.returncode == 1
                assert f"another keeper serves {process.path}" in second.stderr
                assert ask(sock, protocol.Count()) == protocol.Counted(0)  # the first has not noticed
            process.end()
            assert process.path.exists()
            await process.again()

    asyncio.run(main())


def test_sigterm_ends_it_closes_what_it_held_and_removes_the_socket(tmp_path: Path) -> None:
    async def main() -> None:
        with notified(tmp_path) as systemd, keeper(tmp_path) as process, pairs(1) as (pair,):
            systemd.wait("READY", "1")
            async with client(process.path) as one:
                one.deposit(key(1), b"", pair.client, pair.backend)
                assert await one.flush(SECONDS)
                pair.drop()
                assert process.end(signal.SIGTERM) == 0
            systemd.wait("STOPPING", "1")
            assert not process.path.exists()
            assert pair.far_client.recv(1) == b""
            assert "ending connections=1" in process.log.read_text()

    asyncio.run(main())


def test_a_count_makes_nobody_the_proxy(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(2) as made:
            await process.ready()
            async with client(process.path) as one:
                for number, pair in enumerate(made):
                    one.deposit(key(number), b"", pair.client, pair.backend)
                    assert await one.flush(SECONDS)
                    assert await process.count() == number + 1
                assert one.connected

    asyncio.run(main())


def test_nonsense_ends_its_own_connection_and_the_descriptors_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(1) as (pair,):
            await process.ready()
            for nonsense in (b"\xc1", b"hello", protocol.encode(protocol.Done()), protocol.encode({"a": 1})):
                with connected(process.path) as sock:
                    socket.send_fds(sock, [nonsense], [pair.client.fileno(), pair.backend.fileno()])
                    assert sock.recv(100) == b""
            with connected(process.path) as sock:
                socket.send_fds(sock, [protocol.encode(protocol.Count())], [pair.client.fileno()])
                assert protocol.decode_answer(sock.recv(100)) == protocol.Counted(0)
                # More descriptors than entries, then fewer.
                fds = (pair.client.fileno(), pair.backend.fileno(), pair.client.fileno())
                assert ask(sock, protocol.Deposit([(key(1), b"")]), fds) == protocol.Done()
                assert ask(sock, protocol.Deposit([(key(2), b""), (key(3), b"")]), fds) == protocol.Done()
                assert ask(sock, protocol.Count()) == protocol.Counted(2)
                assert ask(sock, protocol.Forget()) == protocol.Done()
            assert process.held() == 0
            assert process.log.read_text().count("connection given up") == 4

    asyncio.run(main())


def test_an_older_connection_that_speaks_late_does_not_drive_out_the_newer_one(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process:
            await process.ready()
            with connected(process.path) as old, connected(process.path) as new:
                assert ask(old, protocol.Count()) == protocol.Counted(0)
                assert ask(new, protocol.Take()) == protocol.End()
                assert ask(old, protocol.Forget()) == protocol.Replaced()
                assert old.recv(100) == b""
                assert ask(new, protocol.Take()) == protocol.End()

    asyncio.run(main())


def test_out_of_files_it_says_so_and_keeps_what_it_can(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path, ("prlimit", "--nofile=120")) as process, pairs(40) as made:
            await process.ready()
            async with client(process.path) as one:
                for number, pair in enumerate(made):
                    one.deposit(key(number), b"", pair.client, pair.backend)
                assert await one.flush(SECONDS)
                assert await process.count() == 28  # and it still takes visitors
                assert "out of files: not kept connections=12 kept=28" in process.log.read_text()
                one.withdraw(key(0))
                one.withdraw(key(1))
                assert await one.flush(SECONDS)
                one.deposit(key(39), b"", made[39].client, made[39].backend)
                assert await one.flush(SECONDS)
                assert await process.count() == 27
                assert process.held() == 54
            async with client(process.path) as successor:
                for taken in await successor.take(SECONDS):
                    taken.client.close()
                    taken.backend.close()

    asyncio.run(main())


def test_its_settings_are_checked_without_redis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keeper.toml"
    file.write_text(f'[keeper]\nid = "keeper-2"\nsocket = "{tmp_path}/k/k.sock"\n')
    assert flux(["keeper", "--check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"
    assert list(tmp_path.iterdir()) == [file]
    assert flux(["keeper", "--check", "--socket", "relative"]) == 2
    assert flux(["keeper", "--check", "--socket", "/" + 107 * "x"]) == 2
    assert "longer than 107 bytes" in capsys.readouterr().err
    assert flux(["keeper", "--help"]) == 0
    help_text = capsys.readouterr().out
    assert "Example:" in help_text
    assert "--redis" not in help_text


def test_what_nobody_comes_for_is_closed_and_a_proxy_that_comes_in_time_stops_that(tmp_path: Path) -> None:
    config = tmp_path / "keeper.toml"
    config.write_text("[keeper]\npatience = 0.5\n")

    async def main() -> None:
        with keeper(tmp_path, ("env", f"FLUX_CONFIG={config}")) as process, pairs(2) as (first, second):
            await process.ready()
            async with client(process.path) as one:
                one.deposit(key(1), b"", first.client, first.backend)
                one.deposit(key(2), b"", second.client, second.backend)
                assert await one.flush(SECONDS)
            first.drop()
            async with client(process.path) as two:
                taken = await two.take(SECONDS)
                assert len(taken) == 2
                await asyncio.sleep(0.7)  # longer than its patience: it must not close what is served
                assert await process.count() == 2
            second.drop()
            for kept in taken:
                kept.client.close()
                kept.backend.close()
            first.far_client.settimeout(SECONDS)
            assert await asyncio.to_thread(first.far_client.recv, 1) == b""
            assert await process.count() == 0
            assert "no proxy came for them, closed connections=2" in process.log.read_text()

    asyncio.run(main())
