"""`keeper.client` against a keeper in its own process, with real TCP connections."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flux_gateway.keeper.client import Keeper, Kept
from flux_gateway.keeper.protocol import PACKET
from tests.unit.keeper.support import SECONDS, Pair, client, keeper, key, pairs, until

DEPOSITOR = """
import asyncio, os, signal, socket, sys
from flux_gateway.keeper.client import Keeper

async def main():
    path, count, handing, *addresses = sys.argv[1:]
    keeper = Keeper(path, lambda: None)
    task = asyncio.create_task(keeper.run())
    held = []
    for number in range(int(count)):
        ends = [socket.create_connection(("127.0.0.1", int(port))) for port in addresses]
        held.append(ends)
        keeper.deposit(f"{number:032x}", b"meta %d" % number, *ends)
        if handing == "yes":
            keeper.hand_over(f"{number:032x}", b"blob %d" % number)
    assert await keeper.flush(10)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
"""Connects to two ports, deposits, is confirmed, and dies without a word."""


def close(kept: list[Kept]) -> None:
    for one in kept:
        one.client.close()
        one.backend.close()


def died(path: Path, number: int, listeners: list[socket.socket], handing: bool = False) -> list[list[socket.socket]]:
    """Let another process deposit connections to these listeners and die; return the far ends."""
    ports = [str(listener.getsockname()[1]) for listener in listeners]
    done = subprocess.run(
        [sys.executable, "-c", DEPOSITOR, str(path), str(number), "yes" if handing else "no", *ports],
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    return [[listener.accept()[0] for listener in listeners] for _ in range(number)]


async def taken(path: Path) -> list[Kept]:
    """Take what is there, as the next process does."""
    async with client(path) as one:
        return sorted(await one.take(SECONDS))


def test_what_a_dead_process_deposited_goes_on_in_the_next_one(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, socket.create_server(("127.0.0.1", 0), backlog=500) as one:
            await process.ready()
            with socket.create_server(("127.0.0.1", 0), backlog=500) as two:
                far = died(process.path, 300, [one, two])
            kept = await taken(process.path)
            assert [(one.key, one.meta, one.blob) for one in kept] == [
                (key(number), b"meta %d" % number, b"") for number in range(300)
            ]
            ends = {kept[0].client.getsockname(): 0}
            for number, one_kept in enumerate(kept):
                ends[one_kept.client.getsockname()] = number
            for client_end, backend_end in far:
                mine = kept[ends[client_end.getpeername()]]
                assert mine.backend.getsockname() == backend_end.getpeername()
                assert not mine.client.getblocking()
                mine.client.send(b"to the client")
                mine.backend.send(b"to the node")
                assert client_end.recv(100) == b"to the client"
                assert backend_end.recv(100) == b"to the node"
            assert await process.count() == 300  # the keeper's own duplicates
            close(kept)
            for end in [end for ends_of_one in far for end in ends_of_one]:
                end.close()

    asyncio.run(main())


def test_relay_state_goes_to_the_next_process_and_only_to_that_one(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, socket.create_server(("127.0.0.1", 0), backlog=500) as one:
            await process.ready()
            far = died(process.path, 200, [one, one], handing=True)
            for expected in ([b"blob %d" % number for number in range(200)], 200 * [b""]):
                kept = await taken(process.path)
                assert [one.blob for one in kept] == expected
                close(kept)
            for end in [end for ends in far for end in ends]:
                end.close()

    asyncio.run(main())


def test_a_blob_larger_than_a_packet_arrives_whole_and_one_without_a_deposit_is_nobody_s(tmp_path: Path) -> None:
    blobs = {key(0): os.urandom(10 * PACKET + 1), key(1): b"", key(2): os.urandom(PACKET), key(3): b"small"}

    async def main() -> None:
        with keeper(tmp_path) as process, pairs(4) as made:
            await process.ready()
            async with client(process.path) as one:
                for number, pair in enumerate(made):
                    one.deposit(key(number), b"", pair.client, pair.backend)
                for name, blob in blobs.items():
                    one.hand_over(name, blob)
                one.hand_over(key(77), b"of nobody")
                assert await one.flush(SECONDS)
            kept = await taken(process.path)
            assert {one.key: one.blob for one in kept} == blobs
            close(kept)

    asyncio.run(main())


def test_metas_of_any_allowed_size_travel_in_batches_and_larger_ones_are_refused(tmp_path: Path) -> None:
    sizes = [0, 1, PACKET - 1, PACKET, *range(0, 3000, 20)]

    async def main() -> None:
        with keeper(tmp_path) as process, pairs(len(sizes)) as made:
            await process.ready()
            async with client(process.path) as one:
                with pytest.raises(ValueError, match="32768"):
                    one.deposit(key(0), bytes(PACKET + 1), made[0].client, made[0].backend)
                for number, (size, pair) in enumerate(zip(sizes, made, strict=True)):
                    one.deposit(key(number), bytes(size), pair.client, pair.backend)
                assert await one.flush(SECONDS)
            kept = await taken(process.path)
            assert [len(one.meta) for one in kept] == sizes
            close(kept)

    asyncio.run(main())


def test_a_later_deposit_replaces_the_earlier_one_and_its_blob(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(2) as (old, new):
            await process.ready()
            async with client(process.path) as one:
                one.deposit(key(1), b"old", old.client, old.backend)
                one.hand_over(key(1), b"state")
                assert await one.flush(SECONDS)
                one.deposit(key(1), b"new", old.client, new.backend)
                assert await one.flush(SECONDS)
                old.backend.close()
                assert old.far_backend.recv(1) == b""  # nobody holds it any more
            (kept,) = await taken(process.path)
            assert (kept.meta, kept.blob) == (b"new", b"")
            assert kept.client.getpeername() == old.far_client.getsockname()
            assert kept.backend.getpeername() == new.far_backend.getsockname()
            close([kept])

    asyncio.run(main())


def test_a_withdrawn_connection_is_closed_and_one_withdrawn_before_it_was_sent_never_comes(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(300) as made:
            await process.ready()
            async with client(process.path) as one:
                for number, pair in enumerate(made):
                    one.deposit(key(number), b"", pair.client, pair.backend)
                for number in range(100):
                    one.withdraw(key(number))
                    made[number].drop()  # would be an error if it were sent now
                assert await one.flush(SECONDS)
                assert await process.count() == 200
                assert process.held() == 400
                for number in range(100, 300):
                    one.withdraw(key(number))
                one.withdraw(key(999))
                assert await one.flush(SECONDS)
                assert await process.count() == 0
                one.deposit(key(5), b"", made[200].client, made[200].backend)
                one.withdraw(key(5))
                one.deposit(key(5), b"back", made[200].client, made[200].backend)
                assert await one.flush(SECONDS)
                assert await process.count() == 1
                one.withdraw(key(5))
                assert await one.flush(SECONDS)
                assert process.held() == 0
            assert "not deposited" not in process.log.read_text()

    asyncio.run(main())


def test_a_close_reaches_the_peers_by_shutdown_and_the_withdrawal_frees_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(1) as (pair,):
            await process.ready()
            async with client(process.path) as one:
                one.deposit(key(1), b"", pair.client, pair.backend)
                assert await one.flush(SECONDS)
                pair.far_client.settimeout(0.2)
                pair.backend.close()
                pair.far_backend.settimeout(0.2)
                with pytest.raises(TimeoutError):  # closed here, and the keeper holds it open
                    pair.far_backend.recv(1)
                pair.client.shutdown(socket.SHUT_RDWR)
                assert pair.far_client.recv(1) == b""  # at once
                pair.client.close()
                one.withdraw(key(1))
                assert await one.flush(SECONDS)
                assert pair.far_backend.recv(1) == b""

    asyncio.run(main())


def test_a_closed_socket_is_not_deposited_and_the_others_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(3) as made:
            await process.ready()
            async with client(process.path) as one:
                for number, pair in enumerate(made):
                    one.deposit(key(number), b"", pair.client, pair.backend)
                made[1].drop()
                assert await one.flush(SECONDS)
                assert await process.count() == 2

    asyncio.run(main())
    assert "closed without a withdrawal" in caplog.text


def redeposit(one: Keeper, made: list[Pair]) -> None:
    for number, pair in enumerate(made):
        one.deposit(key(number), b"", pair.client, pair.backend)


def test_a_killed_keeper_is_found_again_and_gets_everything_again(tmp_path: Path) -> None:
    async def main() -> None:
        told: list[bool] = []

        def on_connected() -> None:
            told.append(one.connected)
            redeposit(one, made[:200])

        with keeper(tmp_path) as process, pairs(201) as made:
            await process.ready()
            async with client(process.path, on_connected) as one:
                assert await one.take(SECONDS) == []
                redeposit(one, made)
                assert await one.flush(SECONDS)
                assert one.connected
                assert not told
                process.end()
                await until(lambda: not one.connected)
                one.withdraw(key(200))  # while there is no keeper
                one.deposit(key(500), b"", made[200].client, made[200].backend)
                assert not await one.flush(0.05)
                await process.again()
                await until(lambda: told == [True])
                assert await one.flush(SECONDS)
                assert await process.count() == 201

    asyncio.run(main())


def test_relay_state_survives_a_keeper_that_is_killed_after_it_has_confirmed_it(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(3) as made:
            await process.ready()
            async with client(process.path, lambda: redeposit(one, made)) as one:
                redeposit(one, made)
                for number in range(3):
                    one.hand_over(key(number), b"state")
                assert await one.flush(SECONDS)
                one.deposit(key(1), b"", made[1].client, made[1].backend)  # goes on after all
                one.withdraw(key(2))
                assert await one.flush(SECONDS)
                process.end()
                await process.again()
                await until(lambda: one.connected)
                assert await one.flush(SECONDS)
            kept = await taken(process.path)
            assert [one.blob for one in kept] == [b"state", b"", b""]
            close(kept)

    asyncio.run(main())


def test_a_keeper_that_comes_late_gets_what_was_deposited_before(tmp_path: Path) -> None:
    async def main() -> None:
        told: list[str] = []
        with pairs(2) as made:
            async with client(tmp_path / "keeper" / "k.sock", lambda: told.append("connected")) as one:
                assert await one.take(0.1) == []
                redeposit(one, made)
                with keeper(tmp_path) as process:
                    await process.ready()
                    assert await one.flush(SECONDS)
                    assert await process.count() == 2
        assert told == []

    asyncio.run(main())


def test_a_withdrawal_on_the_way_when_the_keeper_hangs_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flux_gateway.keeper.link._PATIENCE", 0.3)

    async def main() -> None:
        with keeper(tmp_path) as process, pairs(3) as made:
            await process.ready()
            async with client(process.path, lambda: redeposit(one, made[:1])) as one:
                redeposit(one, made)
                assert await one.flush(SECONDS)
                process.send(signal.SIGSTOP)
                one.withdraw(key(1))
                await until(lambda: not one.connected)
                one.withdraw(key(2))
                process.send(signal.SIGCONT)
                assert await one.flush(SECONDS)
                assert await process.count() == 1
                assert "another process" not in process.log.read_text()

    asyncio.run(main())


def test_what_nobody_took_in_time_is_closed_by_the_keeper(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, socket.create_server(("127.0.0.1", 0)) as listener:
            await process.ready()
            ((one_end, other_end),) = died(process.path, 1, [listener, listener])
            process.send(signal.SIGSTOP)
            async with client(process.path) as one:
                assert await one.take(0.2) == []
                process.send(signal.SIGCONT)
                assert await one.flush(SECONDS)
                assert await process.count() == 0
            for end in (one_end, other_end):
                end.settimeout(SECONDS)
                assert end.recv(1) == b""
                end.close()

    asyncio.run(main())
    assert "nothing taken over" in caplog.text


def test_the_newer_of_two_proxies_wins_and_the_older_one_stays_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(2) as (first, second):
            await process.ready()
            async with client(process.path) as old:
                old.deposit(key(1), b"", first.client, first.backend)
                assert await old.flush(SECONDS)
                async with client(process.path) as new:
                    close(await new.take(SECONDS))
                    await until(lambda: not old.connected)
                    new.deposit(key(2), b"", second.client, second.backend)
                    assert await new.flush(SECONDS)
                    old.deposit(key(3), b"", first.client, first.backend)
                    assert not await old.flush(0.5)
                    assert new.connected
                    assert await process.count() == 2

    asyncio.run(main())
    assert caplog.text.count("another process is the keeper's proxy now") == 1


def test_descriptors_do_not_leak_here_nor_there(tmp_path: Path) -> None:
    async def main() -> None:
        with keeper(tmp_path) as process, pairs(150) as made:
            await process.ready()
            here = len(os.listdir("/proc/self/fd"))
            for _ in range(3):
                async with client(process.path) as one:
                    close(await one.take(SECONDS))
                    redeposit(one, made)
                    assert await one.flush(SECONDS)
                    assert process.held() == 300
            async with client(process.path) as one:
                close(await one.take(SECONDS))
                for number in range(150):
                    one.withdraw(key(number))
                assert await one.flush(SECONDS)
                assert process.held() == 0
            assert len(os.listdir("/proc/self/fd")) == here

    asyncio.run(main())
