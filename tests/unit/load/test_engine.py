"""The engine against real servers: exact counts of everything a server can do wrong to messages."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan, Report
from tests.unit.load.servers import Server, number_of, read_frame, serving, serving_raw, shake_hands

Main = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]

CLIENTS = 3


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def drive(server: Server, until: Callable[[Load], bool], **values: Any) -> Report:
    """Run `CLIENTS` clients at 200 messages/s until the condition holds, and return the report."""
    plan: dict[str, Any] = {"clients": CLIENTS, "rate": 200.0, "ramp": 1e4, "grace": 0.3, "prefix": "t"} | values
    load = Load(LoadPlan(url=server.url, **plan))
    await load.start()
    try:
        async with asyncio.timeout(20):
            while not until(load):
                await asyncio.sleep(0.005)
    finally:
        report = await load.stop()
    return report


def received(count: int) -> Callable[[Load], bool]:
    return lambda load: load.counts().received >= count


def test_an_echo_is_clean(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            report = await drive(server, received(300))
        counts = report.counts
        assert counts.clean
        assert counts.sent == counts.received >= 300
        assert counts.connects == CLIENTS
        assert counts.ended == {1000: CLIENTS}
        assert (counts.disconnects, counts.connect_failures) == ({}, {})
        assert (counts.connected, counts.outstanding, counts.unanswered) == (0, 0, 0)
        assert 0 < report.latency.p50 <= report.latency.p99 <= report.latency.max <= report.longest_silence
        assert report.cpu_seconds > 0

    run(main)


@pytest.mark.parametrize("size", [16, 125, 126, 65535, 65536, 300_000])
def test_every_size_comes_back(run: Run, size: int) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            report = await drive(server, received(12), size=size, rate=0.0, window=2)
        assert report.counts.clean
        assert report.counts.sent == report.counts.received

    run(main)


def test_the_rate_is_kept(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            load = Load(LoadPlan(url=server.url, clients=20, rate=25.0, ramp=1e5))
            await load.start()
            assert await load.ready(5)
            before = load.counts().sent
            await asyncio.sleep(1)
            sent = load.counts().sent - before
            report = await load.stop()
        assert 400 <= sent <= 600
        assert report.counts.skipped == 0

    run(main)


def test_turns_go_round_so_that_all_clients_send_alike(run: Run) -> None:
    async def main() -> None:
        seen: Counter[str] = Counter()

        async def count(connection: ServerConnection) -> None:
            async for message in connection:
                assert connection.request is not None
                seen[connection.request.path] += 1
                await connection.send(message)

        async with serving(count) as server:
            load = Load(LoadPlan(url=server.url, clients=20, rate=200.0, ramp=1e4))
            await load.start()
            assert await load.ready(5)  # those that connect first have turns before the others
            before = seen.copy()
            await asyncio.sleep(0.3)
            after = seen.copy()
            await load.stop()
        turns = [after[path] - before[path] for path in after]
        assert len(turns) == 20
        assert sum(turns) >= 400
        assert max(turns) - min(turns) <= 0.25 * max(turns)  # what is on its way at the two moments differs

    run(main)


def test_a_closed_loop_keeps_its_window(run: Run) -> None:
    async def main() -> None:
        most = 0

        async def in_pairs(connection: ServerConnection) -> None:
            nonlocal most
            while True:
                held = [await connection.recv() for _ in range(4)]
                with pytest.raises(TimeoutError):  # a fifth does not come before an answer
                    async with asyncio.timeout(0.05):
                        await connection.recv()
                most = max(most, len(held))
                for message in held:
                    await connection.send(message)

        async with serving(in_pairs) as server:
            report = await drive(server, received(24), rate=0.0, window=4)
        assert most == 4
        assert (report.counts.doubled, report.counts.reordered, report.counts.corrupt) == (0, 0, 0)

    run(main)


def test_a_dropped_message_is_lost_once_overtaken(run: Run) -> None:
    async def main() -> None:
        async def drop_third(connection: ServerConnection) -> None:
            async for message in connection:
                if number_of(message) != 3:
                    await connection.send(message)

        async with serving(drop_third) as server:
            counts = (await drive(server, received(60))).counts
        assert counts.lost == CLIENTS
        assert counts.sent == counts.received + CLIENTS
        assert (counts.doubled, counts.reordered, counts.corrupt, counts.unanswered) == (0, 0, 0, 0)
        assert not counts.clean

    run(main)


def test_silence_is_lost_after_the_grace_period_only(run: Run) -> None:
    async def main() -> None:
        async def fall_silent(connection: ServerConnection) -> None:
            async for message in connection:
                if number_of(message) < 3:
                    await connection.send(message)

        lost_while_running: set[int] = set()

        async with serving(fall_silent) as server:

            def until(load: Load) -> bool:
                counts = load.counts()
                lost_while_running.add(counts.lost)
                return counts.outstanding >= 20

            report = await drive(server, until)
        counts = report.counts
        assert lost_while_running == {0}
        assert counts.received == 3 * CLIENTS
        assert counts.lost == counts.sent - 3 * CLIENTS >= 20
        assert report.longest_silence >= 0.3  # the grace period
        assert report.latency.max < report.longest_silence

    run(main)


def test_a_doubled_message_is_counted(run: Run) -> None:
    async def main() -> None:
        async def double_third(connection: ServerConnection) -> None:
            async for message in connection:
                for _ in range(3 if number_of(message) == 3 else 1):
                    await connection.send(message)

        async with serving(double_third) as server:
            counts = (await drive(server, received(60))).counts
        assert counts.doubled == 2 * CLIENTS
        assert counts.sent == counts.received
        assert (counts.lost, counts.reordered, counts.corrupt) == (0, 0, 0)

    run(main)


def test_a_late_message_is_reordered_not_lost(run: Run) -> None:
    async def main() -> None:
        async def delay_third(connection: ServerConnection) -> None:
            held = None
            async for message in connection:
                if number_of(message) == 3:
                    held = message
                    continue
                await connection.send(message)
                if number_of(message) == 6:
                    assert held is not None
                    await connection.send(held)

        async with serving(delay_third) as server:
            counts = (await drive(server, received(60))).counts
        assert counts.reordered == CLIENTS
        assert counts.sent == counts.received
        assert (counts.lost, counts.doubled, counts.corrupt) == (0, 0, 0)

    run(main)


def test_changed_content_is_corrupt(run: Run) -> None:
    async def main() -> None:
        async def spoil(connection: ServerConnection) -> None:
            async for message in connection:
                assert isinstance(message, bytes)
                number = number_of(message)
                if number == 2:
                    message = message[:-1] + bytes((message[-1] ^ 1,))
                elif number == 4:
                    message += b"x"
                await connection.send(message)
                if number == 6:
                    await connection.send("text")
                    await connection.send(b"short")

        async with serving(spoil) as server:
            counts = (await drive(server, received(60))).counts
        assert counts.corrupt == 4 * CLIENTS
        assert counts.sent == counts.received
        assert (counts.lost, counts.doubled, counts.reordered) == (0, 0, 0)

    run(main)


def test_crossed_streams_are_seen_although_the_numbers_agree(run: Run) -> None:
    async def main() -> None:
        here: list[ServerConnection] = []

        async def cross(connection: ServerConnection) -> None:
            here.append(connection)
            async for message in connection:
                other = here[0] if connection is here[-1] else here[-1]
                await (other if number_of(message) == 5 and len(here) == 2 else connection).send(message)

        async with serving(cross) as server:
            counts = (await drive(server, received(60), clients=2)).counts
        # Each got the other's message 5 and never its own.
        assert counts.corrupt == 2
        assert counts.lost == 2
        assert counts.sent == counts.received + 2

    run(main)


def test_a_full_socket_is_blocked_and_loses_nothing(run: Run) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            await go_on.wait()
            while True:
                first, payload = await read_frame(reader)
                if first == 0x88:
                    writer.write(b"\x88\x02" + payload)
                    return
                writer.write(b"\x82\x7f" + len(payload).to_bytes(8, "big") + payload)
                await writer.drain()

        async with serving_raw(attend) as server:

            def until(load: Load) -> bool:
                if load.counts().blocked >= 20:
                    go_on.set()
                return go_on.is_set() and load.counts().received >= 5

            # Pure Python unmasks slowly, hence few and large messages.
            counts = (await drive(server, until, clients=1, rate=200.0, size=200_000, grace=30)).counts
        assert counts.blocked >= 20
        assert counts.sent == counts.received
        assert counts.clean

    run(main)


def test_a_closed_loop_goes_on_when_a_full_socket_has_room_again(run: Run) -> None:
    async def main() -> None:
        frame = 22  # bytes for a message of 16: nearly always all of it fits into the socket or nothing
        go_on = asyncio.Event()

        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await shake_hands(reader, writer)
            await go_on.wait()
            rest = b""
            while data := await reader.read(1 << 16):
                rest += data
                whole = len(rest) - len(rest) % frame  # the close frame is shorter and stays
                writer.write(b"".join(b"\x82\x10" + rest[at + 6 : at + frame] for at in range(0, whole, frame)))
                rest = rest[whole:]
                if rest[:1] == b"\x88" and len(rest) == 8:
                    writer.write(b"\x88\x02" + rest[6:])
                    return

        async with serving_raw(attend) as server:

            def until(load: Load) -> bool:
                counts = load.counts()
                if counts.blocked:
                    before.append(counts.sent)
                    go_on.set()
                return bool(before) and counts.received >= before[0] + 1000

            before: list[int] = []
            values = {"clients": 1, "rate": 0.0, "window": 10_000_000, "size": 16, "grace": 30}
            counts = (await drive(server, until, **values)).counts
        assert counts.sent == counts.received > before[0]  # the socket alone did not hold them all
        assert counts.clean

    run(main)


def test_phases_add_up_to_the_whole(run: Run) -> None:
    async def main() -> None:
        hold = asyncio.Event()
        hold.set()

        async def echo_unless_held(connection: ServerConnection) -> None:
            async for message in connection:
                await hold.wait()
                await connection.send(message)

        async with serving(echo_unless_held) as server:
            load = Load(LoadPlan(url=server.url, clients=CLIENTS, rate=100.0, ramp=1e4))
            await load.start()
            assert await load.ready(5)
            await asyncio.sleep(0.2)
            calm = load.take_phase()
            hold.clear()
            await asyncio.sleep(0.6)
            silent = load.take_phase()
            hold.set()
            await asyncio.sleep(0.2)
            after = load.take_phase()
            empty = load.take_phase()
            whole = await load.stop()
        assert calm.counts.connects == CLIENTS
        assert calm.counts.nodes == {"gateway-1": CLIENTS}
        assert calm.longest_silence < 0.3
        assert silent.counts.connects == 0
        assert 0.5 <= silent.longest_silence < 1  # nothing has come back yet, and it is seen all the same
        assert silent.latency.max < 0.3
        assert silent.counts.outstanding >= 20
        assert after.latency.max >= 0.55
        assert empty.counts.received == 0
        assert empty.latency.max == 0
        phases = [calm, silent, after, empty]
        assert sum(phase.counts.received for phase in phases) <= whole.counts.received
        assert whole.latency.max == pytest.approx(after.latency.max)
        assert whole.longest_silence >= after.latency.max
        assert whole.counts.clean
        assert sum(phase.seconds for phase in phases) <= whole.seconds

    run(main)


def test_a_duration_counts_from_the_end_of_the_ramp(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            load = Load(LoadPlan(url=server.url, clients=10, rate=10.0, ramp=50.0, duration=0.3))
            await load.start()
            await load.finished()
            assert load.counts().connects == 10
            report = await load.stop()
        assert 0.5 <= report.seconds < 1.5

    run(main)


def test_a_host_without_an_address_is_one_line(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(CommandError, match="has no address"):
            await Load(LoadPlan(url="ws://no-such-host.invalid/")).start()

    run(main)


def test_a_mistake_of_the_load_client_itself_is_raised(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            load = Load(LoadPlan(url=server.url, clients=CLIENTS, rate=100.0))
            await load.start()
            assert await load.ready(5)

            def broken(*_: object) -> None:
                raise ZeroDivisionError("on purpose")

            monkeypatch.setattr("flux_gateway.load.ledger.Ledger.answer", broken)
            await load.finished()  # ends although there is no duration
            with pytest.raises(ZeroDivisionError):
                await load.stop()

    run(main)


def test_cancelling_the_end_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        async def deaf(connection: ServerConnection) -> None:
            await connection.wait_closed()

        async with serving(deaf) as server:
            load = Load(LoadPlan(url=server.url, clients=CLIENTS, rate=100.0, grace=60.0))
            await load.start()
            assert await load.ready(5)
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await load.stop()
            assert load.counts().connected == 0

    run(main)
