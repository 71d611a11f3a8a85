"""`registry.connect`: settings, deadlines, and the address a client leaves from."""

import asyncio
import socket
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import redis

from flux_gateway.core.errors import ConfigError, RegistryUnavailable
from flux_gateway.registry.connect import RedisSettings, connect, connect_blocking, registry_errors
from flux_gateway.registry.registry import Registry
from tests.unit.registry.server import HOST, RedisServer


def test_a_member_is_dead_after_three_intervals() -> None:
    assert RedisSettings().heartbeat_life == 15
    assert RedisSettings(heartbeat_interval=0.5).heartbeat_life == 1.5


def test_the_password_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    assert RedisSettings(password_file=str(file)).password() == "secret"
    assert RedisSettings().password() is None
    with pytest.raises(ConfigError, match="password_file"):
        RedisSettings(password_file=str(tmp_path / "none")).password()


def test_the_password_is_given_to_redis_and_a_wrong_one_makes_the_registry_unavailable(
    own_server: RedisServer, tmp_path: Path
) -> None:
    with closing(own_server.client()) as client:
        client.config_set("requirepass", "secret")
    file = tmp_path / "password"
    settings = msgspec.structs.replace(own_server.settings(), password_file=str(file))

    async def read() -> None:
        one = Registry(connect(settings), heartbeat_life=15)
        try:
            await one.snapshot()
        finally:
            await one.close()

    file.write_text("secret")
    asyncio.run(read())
    file.write_text("wrong")
    with pytest.raises(RegistryUnavailable):
        asyncio.run(read())


def test_a_client_leaves_from_the_address_it_was_given(server: RedisServer) -> None:
    async def peers() -> list[str]:
        client = connect(server.settings(), "127.30.3.9")
        try:
            return [entry["addr"] for entry in await client.client_list()]
        finally:
            await client.aclose()
            await client.connection_pool.disconnect()

    assert sum(address.startswith("127.30.3.9:") for address in asyncio.run(peers())) == 1


def test_a_redis_that_accepts_but_never_answers_is_given_up_after_the_timeout() -> None:
    with socket.create_server((HOST, 0)) as silent:
        settings = RedisSettings(host=HOST, port=silent.getsockname()[1], timeout=0.2)

        async def read() -> None:
            one = Registry(connect(settings), heartbeat_life=15)
            try:
                await one.snapshot()
            finally:
                await one.close()

        started = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            asyncio.run(read())
        with closing(connect_blocking(settings)) as client, pytest.raises(RegistryUnavailable), registry_errors():
            client.ping()
        assert 0.35 < time.monotonic() - started < 2.0


def test_a_cancellation_is_not_lost_at_whatever_moment_it_comes(server: RedisServer) -> None:
    async def main() -> None:
        one = Registry(connect(server.settings()), heartbeat_life=15)
        await one.snapshot()
        for turns in range(40):
            call = asyncio.ensure_future(one.snapshot())
            for _ in range(turns):
                await asyncio.sleep(0)
            done_before = call.done()
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled() or done_before, f"the cancellation after {turns} turns of the loop was lost"
        await one.snapshot()
        await one.close()

    asyncio.run(main())


@pytest.mark.parametrize("error", [redis.ConnectionError("gone"), ConnectionRefusedError(), TimeoutError()])
def test_whatever_goes_wrong_with_redis_has_one_name(error: Exception) -> None:
    with pytest.raises(RegistryUnavailable, match=r"Redis does not answer: .+"), registry_errors():
        raise error


def test_other_errors_keep_theirs() -> None:
    with pytest.raises(KeyError), registry_errors():
        raise KeyError
