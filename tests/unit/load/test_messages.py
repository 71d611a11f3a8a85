"""The engine against servers that do wrong to messages: exact counts of each."""

import time

from websockets.asyncio.server import ServerConnection

from flux_gateway.load import Load
from tests.unit.load.driving import CLIENTS, Run, drive, received
from tests.unit.load.servers import number_of, serving


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


def test_a_lost_message_is_waited_for_until_a_later_one_is_answered(run: Run) -> None:
    async def main() -> None:
        silent_until: dict[object, float] = {}

        async def pause(connection: ServerConnection) -> None:
            async for message in connection:
                number, now = number_of(message), time.monotonic()
                if number == 2:
                    silent_until[connection] = now + 0.4
                if now >= silent_until.get(connection, 0.0):
                    await connection.send(message)

        async with serving(pause) as server:
            report = await drive(server, lambda load: load.counts().received > 5 * CLIENTS)
        assert report.counts.lost > CLIENTS
        assert 0.35 < report.longest_silence < 1
        assert report.latency.max < 0.3

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
