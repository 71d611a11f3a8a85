"""`broker.pipe`, `line` and `link`: commands without waiting in between, and a Redis that dies, hangs or refuses."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from flux_gateway.broker import pipe as pipe_module
from flux_gateway.broker import scripts
from flux_gateway.broker.pipe import Pipe, Refused
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.registry.connect import RedisSettings, connect
from tests.unit.broker.support import run
from tests.unit.registry.replicas import ReplicatedRedis
from tests.unit.registry.server import HOST, RedisServer
from tests.unit.registry.support import until


@asynccontextmanager
async def pipe(
    settings: RedisSettings, *, patience: float = 0.5, changes: list[bool] | None = None, source: str | None = None
) -> AsyncIterator[Pipe]:
    """A pipe that has been started; `changes` gets to know when it goes up and down."""
    noted = [] if changes is None else changes
    client = connect(settings, source)
    made = Pipe(client, timeout=patience, changed=lambda: noted.append(made.up))
    try:
        await made.start()
        yield made
    finally:
        await made.close()
        await client.aclose()
        await client.connection_pool.disconnect()


@pytest.mark.parametrize("runner", [run, asyncio.run], ids=["uvloop", "asyncio"])
def test_answers_come_to_those_who_asked(server: RedisServer, runner: Any) -> None:
    async def main() -> None:
        async with pipe(server.settings()) as one:
            asked = [one.call("ECHO", f"{i}" * (1 + i % 50)) for i in range(5000)]
            assert await asyncio.gather(*asked) == [(f"{i}" * (1 + i % 50)).encode() for i in range(5000)]
            large = b"\x00\r\n" * 2**20
            assert await one.call("ECHO", "x" * 2**20) == b"x" * 2**20
            assert await one.call("SET", "large", large) == b"OK"
            assert await one.call("GET", "large") == large

    runner(main())


def test_what_is_asked_in_one_turn_of_the_loop_is_one_packet(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings()) as one:
            assert one._link is not None
            writes: list[bytes] = []
            transport = one._link._transport

            class Spy:
                def write(self, data: bytes) -> None:
                    writes.append(data)
                    transport.write(data)

                def abort(self) -> None:
                    transport.abort()

            one._link._transport = Spy()  # type: ignore[assignment]
            await asyncio.gather(*(one.call("ECHO", str(i)) for i in range(100)))
            assert len(writes) == 1

    run(main())


def test_a_refused_command_does_not_disturb_its_neighbours(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings()) as one:
            asked = [one.call("SET", "text", "x"), one.call("HGET", "text", "field"), one.call("GET", "text")]
            written, refused, read = await asyncio.gather(*asked, return_exceptions=True)
            assert (written, read) == (b"OK", b"x")
            assert isinstance(refused, Refused)
            assert "WRONGTYPE" in str(refused)
            assert one.up

    run(main())


def test_a_caller_that_is_cancelled_takes_nobody_s_answer_along(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings()) as one:
            for turns in range(10):
                callers = [asyncio.ensure_future(one.call("ECHO", str(i))) for i in range(20)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for caller in callers[::2]:
                    caller.cancel()
                outcomes = await asyncio.gather(*callers, return_exceptions=True)
                assert outcomes[1::2] == [b"%d" % i for i in range(1, 20, 2)]
            assert await one.call("ECHO", "after") == b"after"

    run(main())


def test_scripts_are_loaded_again_when_redis_has_forgotten_them(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings()) as one:
            with closing(server.client()) as client:
                client.script_flush()
            saved = [one.run(scripts.SAVE_RECORD, [f"s{i}"], (1, b"record", 1000)) for i in range(5)]
            assert await asyncio.gather(*saved) == [1] * 5
            assert await one.call("SCRIPT", "EXISTS", scripts.SAVE_RECORD.digest) == [1]

    run(main())


def test_a_redis_that_ends_fails_what_is_under_way_at_once_and_is_found_again(own_server: RedisServer) -> None:
    async def main() -> None:
        ups: list[bool] = []
        async with pipe(own_server.settings(), patience=30, changes=ups) as one:
            hanging = one.call("BLPOP", "nothing", 0)
            await asyncio.sleep(0.05)
            own_server.terminate()
            started = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="does not answer"):
                await asyncio.wait_for(hanging, 5)
            assert not one.up
            with pytest.raises(BrokerUnavailable):
                await one.call("PING", "")
            assert time.monotonic() - started < 1
            own_server.start()
            await until(lambda: one.up)
            assert await one.call("ECHO", "x") == b"x"
        assert ups == [True, False, True, False]

    run(main())


def test_a_redis_that_hangs_fails_what_is_under_way_after_the_timeout(own_server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(own_server.settings(), patience=0.5) as one:
            own_server.pause()
            started = time.monotonic()
            outcomes = await asyncio.gather(*(one.call("ECHO", "x") for _ in range(50)), return_exceptions=True)
            took = time.monotonic() - started
            assert 0.5 <= took < 1.2
            assert all(isinstance(outcome, BrokerUnavailable) for outcome in outcomes)
            with pytest.raises(BrokerUnavailable):
                await one.call("ECHO", "x")
            assert time.monotonic() - started < took + 0.1, "at once"
            own_server.resume()
            await until(lambda: one.up)
            assert await one.call("ECHO", "x") == b"x"

    run(main())


def test_a_redis_that_hangs_is_noticed_also_when_nobody_asks_it(own_server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(own_server.settings(), patience=0.5) as one:
            own_server.pause()
            assert await until(lambda: not one.up, 5) < 4
            own_server.resume()
            await until(lambda: one.up)

    run(main())


def test_a_quiet_connection_is_kept(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flux_gateway.broker.line.QUIET", 0.1)

    async def main() -> None:
        changes: list[bool] = []
        async with pipe(server.settings(), changes=changes) as one:
            await asyncio.sleep(1.5)
            assert one.up
            assert changes == [True]
            assert await one.call("ECHO", "x") == b"x"

    run(main())


def test_a_program_that_was_held_up_does_not_blame_redis(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings(), patience=0.3) as one:
            asked = one.call("ECHO", "x")
            await asyncio.sleep(0)
            time.sleep(1)  # noqa: ASYNC251 - that is what is tested
            assert await asked == b"x"
            assert one.up

    run(main())


def test_a_redis_that_is_away_at_the_start_is_found_when_it_comes(own_server: RedisServer) -> None:
    own_server.stop()

    async def main() -> None:
        async with pipe(own_server.settings()) as one:
            assert not one.up
            with pytest.raises(BrokerUnavailable):
                await one.call("ECHO", "x")
            own_server.start()
            await until(lambda: one.up)
            assert await one.call("ECHO", "x") == b"x"

    run(main())


def test_more_commands_than_may_wait_are_turned_away_at_once(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe_module, "IN_FLIGHT", 100)
    monkeypatch.setattr(pipe_module, "IN_FLIGHT_BYTES", 10_000)

    async def main() -> None:
        async with pipe(own_server.settings(), patience=5) as one:
            own_server.pause()
            few = [one.call("ECHO", "x") for _ in range(100)]
            with pytest.raises(BrokerUnavailable, match="too many"):
                await one.call("ECHO", "x")
            own_server.resume()
            await asyncio.gather(*few)
            own_server.pause()
            large = one.call("ECHO", "x" * 20_000)
            with pytest.raises(BrokerUnavailable, match="too many"):
                await one.call("ECHO", "x")
            own_server.resume()
            await large
            assert await one.call("ECHO", "x") == b"x"

    run(main())


def test_a_peer_that_does_not_speak_redis_is_left(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings()) as one:
            asked = one.call("ECHO", "x")
            assert one._link is not None
            one._link.data_received(b"HTTP/1.1 200 OK\r\n")
            with pytest.raises(BrokerUnavailable):
                await asked
            await until(lambda: one.up)

    run(main())


def test_a_master_that_became_a_replica_is_left(own_server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(own_server.settings()) as one:
            with closing(own_server.client()) as client:
                client.replicaof(HOST, 1)
                with pytest.raises(BrokerUnavailable, match="READONLY"):
                    await one.run(scripts.SAVE_RECORD, ["s"], (1, b"record", 1000))
                assert not one.up
                client.replicaof("NO", "ONE")
            await until(lambda: one.up)
            assert await one.run(scripts.SAVE_RECORD, ["s"], (1, b"record", 1000)) == 1

    run(main())


def test_a_fail_over_is_followed_through_the_sentinel(tmp_path: Any) -> None:
    with ReplicatedRedis(tmp_path) as replicated:

        async def main() -> None:
            async with pipe(replicated.settings()) as one:
                assert await one.call("SET", "key", "x") == b"OK"
                replicated.first.process.kill()
                await until(lambda: not one.up)
                await until(lambda: one.up, 20)
                assert await one.call("SET", "key", "y") == b"OK"
                assert replicated.second.role() == "master"

        run(main())


def test_it_leaves_from_the_address_it_was_given(server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(server.settings(), source="127.30.3.9"):
            with closing(server.client()) as client:
                assert any(entry["addr"].startswith("127.30.3.9:") for entry in client.client_list())

    run(main())


def test_closing_fails_what_is_under_way_and_leaves_no_connection(own_server: RedisServer) -> None:
    async def main() -> None:
        async with pipe(own_server.settings()) as one:
            hanging = one.call("BLPOP", "nothing", 0)
            await one.close()
            with pytest.raises(BrokerUnavailable):
                await hanging
            assert not one.up
        with closing(own_server.client()) as client:
            names = [entry["name"] for entry in client.client_list()]
            assert len(names) == 1, "the one that asks"

    run(main())


@pytest.mark.parametrize("turns", range(0, 40, 3))
def test_it_can_be_closed_at_whatever_moment(server: RedisServer, turns: int) -> None:
    async def main() -> None:
        client = connect(server.settings())
        one = Pipe(client, timeout=1)
        starting = asyncio.ensure_future(one.start())
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        await asyncio.wait_for(one.close(), 5)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        assert not one.up
        await client.aclose()

    run(main())
