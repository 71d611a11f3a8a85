"""`load.newcomers` against real servers."""

import asyncio
import socket
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from flux_gateway.load import newcomers
from flux_gateway.load.newcomers import NewcomerCounts, Newcomers, most_open, whoami_url
from tests.unit.load.driving import Run
from tests.unit.load.servers import serving, serving_raw


async def tell(connection: ServerConnection) -> None:
    async for _ in connection:
        await connection.send('{"node": "gateway-1", "session": "x"}')


async def come(url: str, seconds: float, rate: float = 40.0, retries: int = 0) -> NewcomerCounts:
    """Let newcomers come for a while, and return what all of them saw."""
    new = Newcomers(url, rate, retries)
    new.start()
    await asyncio.sleep(seconds)
    await new.stop()
    return new.take()


def test_each_has_a_key_of_its_own_and_the_rate_is_kept(run: Run) -> None:
    async def main() -> None:
        async with serving(tell) as server:
            seen = await come(server.url, 1.0)
        assert 35 <= seen.served <= 45
        assert (seen.failed, seen.retried, seen.causes) == (0, 0, {})
        assert seen.nodes == {"gateway-1": seen.served}
        assert 0 < seen.slowest < 1
        assert len(set(server.paths)) == len(server.paths) == seen.served
        assert all(path.startswith("/whoami?session=new-") for path in server.paths)

    run(main)


def test_a_phase_has_only_what_happened_in_it(run: Run) -> None:
    async def main() -> None:
        async with serving(tell) as server:
            new = Newcomers(server.url, 40.0)
            new.start()
            await asyncio.sleep(0.3)
            first = new.take()
            await asyncio.sleep(0.3)
            await new.stop()
            second = new.take()
        assert first.served > 0
        assert second.served > 0
        assert first.served + second.served == len(server.paths)
        assert new.take() == NewcomerCounts()

    run(main)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def stay_mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(("handler", "cause"), [(hang_up, "closed during the handshake"), (stay_mute, "timeout")])
def test_broken_handshakes_are_told_apart(
    run: Run, handler: Any, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(newcomers, "PATIENCE", 0.2)
        async with serving_raw(handler) as server:
            seen = await come(server.url, 0.1)
        assert seen.served == 0
        assert seen.causes == {cause: seen.failed}
        assert seen.failed >= 2

    run(main)


async def go_away(connection: ServerConnection) -> None:
    await connection.close(1013)


async def say_something(connection: ServerConnection) -> None:
    async for _ in connection:
        await connection.send("[1]")


@pytest.mark.parametrize(("handler", "cause"), [(go_away, "closed 1013"), (say_something, "no answer of /whoami")])
def test_sessions_that_do_not_answer_are_told_apart(run: Run, handler: Any, cause: str) -> None:
    async def main() -> None:
        async with serving(handler) as server:
            seen = await come(server.url, 0.1)
        assert seen.served == 0
        assert seen.causes == {cause: seen.failed}

    run(main)


async def swallow_the_first(connection: ServerConnection) -> None:
    await connection.recv()
    await tell(connection)


def test_a_question_that_was_lost_is_asked_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(newcomers, "ASK_AGAIN", 0.1)
        async with serving(swallow_the_first) as server:
            seen = await come(server.url, 0.2)
        assert seen.repeated == seen.served >= 3
        assert (seen.failed, seen.retried) == (0, 0)

    run(main)


def test_refused_and_a_status_are_causes(run: Run) -> None:
    async def main() -> None:
        def refuse(connection: ServerConnection, request: Request) -> Response:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "no node\n")

        async with serve(tell, "127.0.0.1", 0, process_request=refuse) as listener:
            port = next(iter(listener.sockets)).getsockname()[1]
            seen = await come(f"ws://127.0.0.1:{port}/echo", 0.1)
        assert seen.causes == {"HTTP 503": seen.failed}
        seen = await come(f"ws://127.0.0.1:{port}/echo", 0.1)
        assert seen.causes == {"refused": seen.failed}

    run(main)


@pytest.mark.parametrize(("retries", "served"), [(0, False), (3, True)])
def test_a_retry_is_made_only_where_it_is_allowed(run: Run, retries: int, served: bool) -> None:
    async def main() -> None:
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            new = Newcomers(f"ws://127.0.0.1:{holder.getsockname()[1]}/echo", 20.0, retries)
            new.start()
            await asyncio.sleep(0.2)
            holder.listen()
            async with serve(tell, sock=holder):
                await asyncio.sleep(0.2)
                await new.stop()
                seen = new.take()
        assert bool(seen.failed) is not served
        assert bool(seen.retried) is served
        assert seen.served > seen.retried  # those that came later needed none
        assert (seen.slowest >= newcomers.RETRY_PAUSE) is served

    run(main)


def test_after_the_last_retry_it_counts_as_failed_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(newcomers, "RETRY_PAUSE", 0.05)
        async with serving(go_away) as server:
            seen = await come(server.url, 0.15, rate=20.0, retries=2)
        assert len(server.paths) == 3 * seen.failed
        assert len(set(server.paths)) == seen.failed  # the same key again

    run(main)


def test_where_they_ask() -> None:
    assert whoami_url("ws://10.0.0.1:8080/echo?session=x") == "ws://10.0.0.1:8080/whoami"
    assert whoami_url("ws://[::1]/") == "ws://[::1]/whoami"
    assert most_open(20.0, 1) == 420
    assert most_open(0.0, 5) == 0
