"""`runtime.admin` over real HTTP: what everybody may read, and what needs the token."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flux_gateway.core.errors import CommandError, ConfigError
from flux_gateway.runtime import admin
from flux_gateway.runtime.loop_watch import LoopWatch

HOST = "127.30.3.4"
TOKEN = "0123456789abcdef-token"


class Source:
    """A daemon."""

    def __init__(self) -> None:
        self.answer = (True, "")

    def ready(self) -> tuple[bool, str]:
        return self.answer

    def info(self) -> dict[str, Any]:
        return {"id": "x"}

    def stat(self) -> dict[str, Any]:
        return {"rss": 1}


class Metrics(Collector):
    """One gauge."""

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("flux_sample", "a sample", 3)


class StuckWatch(LoopWatch):
    """A loop that has been late for long, or not."""

    late = 0.0

    def age(self) -> float:
        return self.late


class Bench:
    """The server, listening, and a client."""

    def __init__(self, base: str, session: aiohttp.ClientSession, source: Source, watch: StuckWatch) -> None:
        self.base, self.session, self.source, self.watch = base, session, source, watch

    async def ask(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        async with self.session.request(method, self.base + path, headers=headers) as response:
            return response.status, await response.text()


async def drain(_: web.Request) -> web.Response:
    raise CommandError("already draining")


def run(body: Callable[[Bench], Awaitable[None]], token: str = TOKEN) -> None:
    async def main() -> None:
        source, watch = Source(), StuckWatch()
        application = admin.build(source, watch, Metrics(), token)
        application.add_routes([web.post("/drain", drain)])
        server = admin.AdminServer(application, HOST, 0)
        await server.start()
        try:
            port = server._runner.addresses[0][1]
            async with aiohttp.ClientSession() as session:
                await body(Bench(f"http://{HOST}:{port}", session, source, watch))
        finally:
            watch.stop()
            await server.stop()

    asyncio.run(main())


def test_livez_follows_the_loop_and_readyz_the_daemon() -> None:
    async def body(bench: Bench) -> None:
        assert (await bench.ask("GET", "/livez"))[0] == 200
        assert await bench.ask("GET", "/readyz") == (200, '{"ready":true,"reason":""}')
        bench.source.answer = (False, "draining")
        bench.watch.late = admin.STALE_LOOP
        assert (await bench.ask("GET", "/livez"))[0] == 503
        assert await bench.ask("GET", "/readyz") == (503, '{"ready":false,"reason":"draining"}')

    run(body)


def test_metrics_info_and_stat_can_be_read_by_everybody() -> None:
    async def body(bench: Bench) -> None:
        status, text = await bench.ask("GET", "/metrics")
        assert status == 200
        assert "flux_sample 3.0" in text
        assert await bench.ask("GET", "/info") == (200, '{"id":"x"}')
        assert await bench.ask("GET", "/stat") == (200, '{"rss":1}')

    run(body)


WRONG = [
    {}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer ü"},
]  # fmt: skip


@pytest.mark.parametrize("headers", WRONG)
def test_a_post_without_the_token_is_refused(headers: dict[str, str]) -> None:
    async def body(bench: Bench) -> None:
        for path in ("/dump", "/drain", "/nowhere"):
            status, text = await bench.ask("POST", path, **headers)
            assert status == 401, path
            assert "Authorization: Bearer" in text

    run(body)


def test_a_token_of_arbitrary_bytes_is_refused_like_any_other() -> None:
    async def body(bench: Bench) -> None:
        host, port = bench.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /dump HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nContent-Length: 0\r\n\r\n")
        status = await reader.readline()
        writer.close()
        assert b" 401 " in status

    run(body)


def test_a_post_with_the_token_is_carried_out() -> None:
    async def body(bench: Bench) -> None:
        status, text = await bench.ask("POST", "/dump", Authorization=f"Bearer {TOKEN}")
        assert status == 200
        assert "thread " in text

    run(body)


def test_what_a_daemon_objects_to_is_answered_with_409_and_its_words() -> None:
    async def body(bench: Bench) -> None:
        answer = await bench.ask("POST", "/drain", Authorization=f"Bearer {TOKEN}")
        assert answer == (409, '{"error":"already draining"}')

    run(body)


def test_without_a_configured_token_no_post_is_carried_out() -> None:
    async def body(bench: Bench) -> None:
        for headers in WRONG[:4]:
            assert (await bench.ask("POST", "/dump", **headers))[0] == 401

    run(body, token="")


def test_a_taken_address_raises() -> None:
    async def main() -> None:
        watch = LoopWatch()
        servers = [admin.AdminServer(admin.build(Source(), watch, Metrics(), TOKEN), HOST, 0)]
        try:
            await servers[0].start()
            port = servers[0]._runner.addresses[0][1]
            servers.append(admin.AdminServer(admin.build(Source(), watch, Metrics(), TOKEN), HOST, port))
            with pytest.raises(OSError, match="in use"):
                await servers[1].start()
        finally:
            watch.stop()
            for server in servers:
                await server.stop()

    asyncio.run(main())


def test_the_token_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert admin.read_token("") == ""
    file.write_text(f"  {TOKEN}\n")
    assert admin.read_token(str(file)) == TOKEN
    file.write_text("short")
    with pytest.raises(ConfigError, match="at least 16"):
        admin.read_token(str(file))
    with pytest.raises(ConfigError, match="No such file"):
        admin.read_token(str(tmp_path / "none"))


def test_routes_with_a_key_of_their_own_do_without_the_token_and_nothing_else_does() -> None:
    async def called(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["method"])

    async def main() -> None:
        application = admin.build(Source(), LoopWatch(), Metrics(), TOKEN, own_key="/api/")
        application.add_routes([web.post("/api/{method}", called), web.post("/drain", drain)])
        server = admin.AdminServer(application, HOST, 7198)
        await server.start()
        try:
            assert await raw("/api/publish") == (200, "publish")
            for path in ("/drain", "/api/../drain", "/%61pi/../drain", "/api/%2e%2e/drain", "//api/publish", "/api/"):
                assert (await raw(path))[0] == 401, path
        finally:
            await server.stop()

    async def raw(path: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection(HOST, 7198)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1]), answer.rpartition("\r\n\r\n")[2]

    asyncio.run(main())
