"""The engine against real servers: rate, window, full sockets, phases, beginning and end."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan
from tests.unit.load.driving import CLIENTS, Run, drive, echo, received
from tests.unit.load.servers import read_frame, serving, serving_raw, shake_hands


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


class FullNowAndThen:
    """A socket that has no room at every third send (a real one takes a part of a message first, nearly always)."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._sends = 0
        self.refused = 0

    def send(self, data: bytes) -> int:
        self._sends += 1
        if self._sends % 3 == 0:
            self.refused += 1
            raise BlockingIOError
        sent: int = self._sock.send(data)
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_a_closed_loop_goes_on_when_a_full_socket_has_room_again(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            load = Load(LoadPlan(url=server.url, rate=0.0, window=1))
            await load.start()
            assert await load.ready(5)
            (client,) = load._clients
            full = FullNowAndThen(client._sock)
            client._sock = full  # type: ignore[assignment]
            await asyncio.sleep(0.2)
            counts = (await load.stop()).counts
        assert counts.blocked >= full.refused - 1 >= 5  # the close frame may have been refused, too
        assert counts.received >= 10
        assert counts.clean
        assert counts.ended == {1000: 1}

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
