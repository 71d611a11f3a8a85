"""The engine's connections: opening, being closed in every way, coming back, control frames."""

import asyncio
import socket
from http import HTTPStatus
from struct import pack
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from flux_gateway.load import Load, LoadPlan
from tests.unit.load.driving import CLIENTS, Run, drive, echo, received
from tests.unit.load.servers import number_of, read_frame, serving, serving_raw, shake_hands


async def close_at_fifth(connection: ServerConnection) -> None:
    async for message in connection:
        if number_of(message) == 5:
            await connection.close(1012)
            return
        await connection.send(message)


async def abort_at_fifth(connection: ServerConnection) -> None:
    async for message in connection:
        if number_of(message) == 5:
            connection.transport.abort()
            return
        await connection.send(message)


@pytest.mark.parametrize(("handler", "code"), [(close_at_fifth, 1012), (abort_at_fifth, 1006)])
def test_a_disconnect_is_counted_by_code_and_its_flight_is_unanswered(run: Run, handler: Any, code: int) -> None:
    async def main() -> None:
        async with serving(handler) as server:
            # A window of one: exactly message 5 is in flight when the server goes.
            report = await drive(
                server, lambda load: sum(load.counts().disconnects.values()) == CLIENTS,
                rate=0.0, reconnect=False,
            )  # fmt: skip
        counts = report.counts
        assert counts.disconnects == {code: CLIENTS}
        assert counts.unanswered == CLIENTS
        assert counts.received == 5 * CLIENTS
        assert (counts.sent, counts.lost, counts.ended, counts.connects) == (6 * CLIENTS, 0, {}, CLIENTS)
        assert counts.clean  # nobody can know whether message 5 arrived

    run(main)


def test_after_a_disconnect_the_client_comes_back_with_its_key(run: Run) -> None:
    async def main() -> None:
        async with serving(abort_at_fifth) as server:
            # The first that comes back finds the same node, the others another one.
            server.node = lambda index: "gateway-1" if index <= CLIENTS else "gateway-2"
            enough = received(20 * CLIENTS)
            report = await drive(server, lambda load: load.counts().connects == 2 * CLIENTS and enough(load))
        counts = report.counts
        assert counts.disconnects == {1006: CLIENTS}  # numbers go on: 5 comes once
        assert counts.connects == 2 * CLIENTS
        assert counts.node_changes == CLIENTS - 1
        assert counts.ended == {1000: CLIENTS}
        assert sorted(server.paths) == sorted([f"/echo?session=t-{index}" for index in range(CLIENTS)] * 2)
        assert counts.sent == counts.received + counts.unanswered
        assert counts.clean

    run(main)


def test_the_slowest_return_counts_from_the_first_attempt_and_ends_with_the_open_connection(run: Run) -> None:
    async def main() -> None:
        async with serving(abort_at_fifth) as server:
            # Of those that come back the first is let in at once; the others first run into the time limit.
            server.delay = lambda index: 1.0 if CLIENTS < index < 2 * CLIENTS else 0.0
            load = Load(
                LoadPlan(url=server.url, clients=CLIENTS, rate=200.0, ramp=1e4, prefix="t", connect_timeout=0.4)
            )
            await load.start()
            assert await load.ready(5)
            first = load.take_phase()
            while not load.counts().connect_failures:
                await asyncio.sleep(0.01)
            during = load.take_phase()
            assert await load.ready(5)
            after = load.take_phase()
            idle = load.take_phase()
            whole = await load.stop()
        assert (first.slowest_return, first.absent) == (0.0, 0)
        assert during.slowest_return >= 0.4  # still trying
        assert during.absent == CLIENTS - 1
        assert after.slowest_return >= during.slowest_return
        assert after.absent == 0
        assert idle.slowest_return == 0.0  # nobody came back in it
        assert whole.slowest_return == after.slowest_return < 3
        assert whole.absent == 0

    run(main)


def test_who_stays_away_is_absent_at_the_end(run: Run) -> None:
    async def main() -> None:
        async with serving(abort_at_fifth) as server:
            report = await drive(
                server, lambda load: sum(load.counts().disconnects.values()) == CLIENTS, reconnect=False
            )
        assert (report.absent, report.slowest_return) == (CLIENTS, 0.0)

    run(main)


def test_what_was_overtaken_before_a_disconnect_is_lost(run: Run) -> None:
    async def main() -> None:
        async def drop_then_close(connection: ServerConnection) -> None:
            async for message in connection:
                if number_of(message) == 2:
                    continue
                await connection.send(message)
                if number_of(message) == 8:
                    await connection.close(1001)
                    return

        async with serving(drop_then_close) as server:
            report = await drive(
                server, lambda load: sum(load.counts().disconnects.values()) == CLIENTS, reconnect=False
            )
        counts = report.counts
        assert counts.disconnects == {1001: CLIENTS}
        assert counts.lost == CLIENTS
        assert counts.received == 8 * CLIENTS
        assert counts.sent == counts.received + counts.lost + counts.unanswered

    run(main)


def test_a_status_other_than_101_is_a_connect_failure(run: Run) -> None:
    async def main() -> None:
        def refuse(connection: ServerConnection, request: Request) -> Response:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "no node\n")

        async with serve(echo, "127.0.0.1", 0, process_request=refuse) as listener:
            port = next(iter(listener.sockets)).getsockname()[1]
            load = Load(LoadPlan(url=f"ws://127.0.0.1:{port}/", clients=CLIENTS, duration=0.3, reconnect=False))
            await load.start()
            await load.finished()
            counts = (await load.stop()).counts
        assert counts.connect_failures == {"HTTP 503": CLIENTS}
        assert (counts.connects, counts.sent, counts.disconnects) == (0, 0, {})
        assert not counts.clean

    run(main)


def test_a_refused_connection_is_tried_again_until_it_is_let_in(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
            load = Load(LoadPlan(url=f"ws://127.0.0.1:{port}/", clients=CLIENTS, rate=50.0))
            await load.start()
            assert not await load.ready(0.1)
            refused = load.counts().connect_failures
            assert set(refused) == {"refused"}
            assert refused["refused"] >= CLIENTS
            holder.listen()
            async with serve(echo, sock=holder):
                assert await load.ready(5)
                await asyncio.sleep(0.1)
                counts = (await load.stop()).counts
        assert counts.connects == CLIENTS
        assert counts.clean

    run(main)


async def stay_mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 1")
    writer.write_eof()
    await reader.read()


async def talk_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-Server\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("handler", "cause"),
    [(stay_mute, "timeout"), (hang_up, "closed during the handshake"), (talk_ssh, "not an HTTP response")],
)
def test_broken_handshakes_are_told_apart(run: Run, handler: Any, cause: str) -> None:
    async def main() -> None:
        async with serving_raw(handler) as server:
            report = await drive(
                server, lambda load: bool(load.counts().connect_failures), connect_timeout=0.2, reconnect=False,
                clients=1,
            )  # fmt: skip
        assert report.counts.connect_failures == {cause: 1}

    run(main)


def test_source_addresses_are_used_in_turn(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            await drive(server, received(12), clients=4, sources=("127.0.7.1", "127.0.7.2"))
        assert sorted(server.sources) == ["127.0.7.1"] * 2 + ["127.0.7.2"] * 2

    run(main)


def test_an_address_that_is_not_here_is_a_connect_failure(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            report = await drive(
                server, lambda load: bool(load.counts().connect_failures), clients=1, sources=("192.0.2.1",),
                reconnect=False,
            )  # fmt: skip
        (cause,) = report.counts.connect_failures
        assert "no such local address" in cause

    run(main)


def test_pings_are_answered_with_their_payload(run: Run) -> None:
    async def main() -> None:
        answered = 0

        async def ping(connection: ServerConnection) -> None:
            nonlocal answered
            async for message in connection:
                waiter = await connection.ping(b"mark" + bytes((answered,)))
                await connection.send(message)
                await waiter
                answered += 1

        async with serving(ping) as server:
            report = await drive(server, received(30))
        assert report.counts.clean
        assert answered >= 27

    run(main)


def test_fragments_and_long_forms_are_put_together(run: Run) -> None:
    async def main() -> None:
        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            while True:
                first, payload = await read_frame(reader)
                if first == 0x88:
                    writer.write(b"\x88\x02" + payload)
                    return
                left, right = payload[:10], payload[10:]
                frames = b"\x02\x0a" + left + b"\x89\x01p" + b"\x80\x7e" + pack("!H", len(right)) + right
                if number_of(payload) % 2:
                    writer.write(frames[:5])  # cut within a fragment, too
                    await asyncio.sleep(0.001)
                    frames = frames[5:]
                writer.write(frames)
                while (await read_frame(reader)) != (0x8A, b"p"):
                    raise AssertionError("a pong was due")

        async with serving_raw(attend) as server:
            report = await drive(server, received(60), rate=0.0)
        assert report.counts.clean
        assert report.counts.ended == {1000: CLIENTS}
        assert report.counts.disconnects == {}

    run(main)


@pytest.mark.parametrize(
    ("bytes_sent", "echoed", "code"),
    [
        (b"\x88\x00", b"", 1005),  # a close frame without a code
        (b"\x88\x06\x0f\xa1word", b"\x0f\xa1", 4001),  # the code is echoed, the reason is not
        (b"\x82\x81\0\0\0\0x", b"\x03\xea", 1002),  # a masked frame is a violation
    ],
)
def test_a_close_is_echoed_with_its_code(run: Run, bytes_sent: bytes, echoed: bytes, code: int) -> None:
    async def main() -> None:
        answers: list[tuple[int, bytes]] = []

        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            writer.write(bytes_sent + b"\x82\x01x")  # what follows a close frame is not looked at
            answers.append(await read_frame(reader))
            assert writer.transport.get_extra_info("socket") is not None

        async with serving_raw(attend) as server:
            report = await drive(
                server, lambda load: bool(load.counts().disconnects), clients=1, rate=0.001, reconnect=False
            )
        assert answers == [(0x88, echoed)]
        assert report.counts.disconnects == {code: 1}
        assert (report.counts.ended, report.counts.corrupt) == ({}, 0)

    run(main)


def test_a_server_that_never_closes_is_left_after_a_while(run: Run) -> None:
    async def main() -> None:
        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            await reader.read()

        async with serving_raw(attend) as server:
            report = await drive(server, lambda load: load.counts().connects == 1, clients=1, grace=0.0)
        assert report.counts.ended == {1006: 1}
        assert report.counts.disconnects == {}

    run(main)
