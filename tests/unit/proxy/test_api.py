"""The server API through a proxy's admin port: real nodes' HTTP behind real sockets, in the test's hands."""

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from flux_gateway.core.balance import Bounds
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.liveness import LinkPolicy
from flux_gateway.core.membership import Snapshot
from flux_gateway.proxy import api
from flux_gateway.proxy.router import Router
from flux_gateway.runtime import admin
from flux_gateway.runtime.loop_watch import LoopWatch
from tests.unit.proxy.test_router import link_up, record
from tests.unit.runtime.test_admin import TOKEN, Metrics, Source

HOST = "127.0.0.1"


class Bench:
    """A proxy's admin server in front of nodes `a` and `b`, and a client."""

    def __init__(self) -> None:
        self.router = Router(Bounds(), LinkPolicy())
        self.router.update(Snapshot({name: record(name) for name in ("a", "b")}))
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        """What the nodes got: node, target, headers, body."""
        self.answer: Callable[[], Awaitable[web.Response]] | None = None
        self.port = free_port()

    def node(self, name: str) -> web.Application:
        """Return what a node's admin port serves."""
        async def serve(request: web.Request) -> web.Response:
            self.seen.append((name, request.raw_path, dict(request.headers), await request.read()))
            if self.answer is not None:
                return await self.answer()
            return web.Response(body=b'{"result":{}}', content_type="application/json", status=200)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", serve)
        return application

    async def post(
        self, path: str = "/api/publish", body: bytes = b"{}", method: str = "POST", **headers: str
    ) -> tuple[int, str, bytes]:
        """Ask the proxy: status, content type, body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{HOST}:{self.port}{path}", data=io.BytesIO(body), headers=named) as got,
        ):
            return got.status, got.headers.get("Content-Type", ""), await got.read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def run(body: Callable[[Bench], Awaitable[Any]], *, dead: tuple[str, ...] = ()) -> None:
    """Run a test; nodes that are `dead` look well but refuse connections."""
    async def main() -> None:
        bench, runners = Bench(), []
        for node in bench.router.nodes.values():
            link_up(node)
            port = free_port()
            node.record = msgspec.structs.replace(node.record, admin_port=port)
            if node.id not in dead:
                runner = web.AppRunner(bench.node(node.id))
                await runner.setup()
                await web.TCPSite(runner, HOST, port).start()
                runners.append(runner)
        forwarding = api.Api(bench.router, "")
        application = admin.build(Source(), LoopWatch(), Metrics(), TOKEN, own_key=api.PREFIX)
        application.add_routes(forwarding.routes())
        server = admin.AdminServer(application, HOST, bench.port)
        await server.start()
        try:
            await body(bench)
        finally:
            await forwarding.close()
            await server.stop()
            for runner in runners:
                await runner.cleanup()

    asyncio.run(main())


def test_request_and_answer_pass_with_key_query_and_mode() -> None:
    async def body(bench: Bench) -> None:
        async def answer() -> web.Response:
            return web.Response(body=b'{"code":102}', content_type="application/json", status=404)

        bench.answer = answer
        got = await bench.post(
            "/api/publish?api_key=a%26b%2Bc", b'{"channel":"x"}', Content_Type="application/json", X_API_Key="k",
            Authorization="apikey z", X_Centrifugo_Error_Mode="transport", X_Other="kept back", Cookie="a=b",
        )  # fmt: skip
        assert got == (404, "application/json", b'{"code":102}')
        ((_, target, headers, sent),) = bench.seen
        assert (target, sent) == ("/api/publish?api_key=a%26b%2Bc", b'{"channel":"x"}')
        assert headers["X-API-Key"] == "k"
        assert headers["Authorization"] == "apikey z"
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Centrifugo-Error-Mode"] == "transport"
        assert not {"X-Other", "Cookie"} & headers.keys()

    run(body)


def test_the_key_is_judged_by_the_node_whose_answer_has_no_body() -> None:
    async def body(bench: Bench) -> None:
        async def answer() -> web.Response:
            return web.Response(status=401)

        bench.answer = answer
        status, _, said = await bench.post()
        assert (status, said) == (401, b"")

    run(body)


def test_nodes_take_turns() -> None:
    async def body(bench: Bench) -> None:
        for _ in range(10):
            await bench.post()
        assert [name for name, *_ in bench.seen].count("a") == 5

    run(body)


def test_a_node_that_cannot_be_reached_is_passed_over() -> None:
    async def body(bench: Bench) -> None:
        for _ in range(4):
            assert (await bench.post())[0] == 200
        assert {name for name, *_ in bench.seen} == {"b"}

    run(body, dead=("a",))


def test_a_node_that_drains_is_not_asked() -> None:
    async def body(bench: Bench) -> None:
        link_up(bench.router.nodes["a"], state=NodeState.DRAINING)
        for _ in range(4):
            assert (await bench.post())[0] == 200
        assert {name for name, *_ in bench.seen} == {"b"}

    run(body)


def test_without_any_node_the_answer_says_so() -> None:
    async def body(bench: Bench) -> None:
        status, kind, said = await bench.post()
        assert (status, kind) == (503, "application/json")
        assert b"no node can be reached" in said

    run(body, dead=("a", "b"))


def test_a_node_that_hangs_up_or_is_silent_may_have_done_it_and_nobody_else_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "_DEADLINE", aiohttp.ClientTimeout(total=0.3))

    async def body(bench: Bench) -> None:
        async def silent() -> web.Response:
            await asyncio.sleep(1)
            return web.Response()

        bench.answer = silent
        assert (await bench.post())[0] == 504
        assert len(bench.seen) == 1

    run(body)


def test_other_methods_and_too_large_bodies_are_refused_here() -> None:
    async def body(bench: Bench) -> None:
        assert (await bench.post(method="GET"))[0] == 405
        assert (await bench.post(body=b"x" * (2**20)))[0] == 200
        assert (await bench.post(body=b"x" * (2**20 + 1)))[0] == 413
        assert len(bench.seen) == 1

    run(body)


@pytest.mark.parametrize("path", ["/dump", "/api", "/apix/publish"])
def test_everything_else_needs_the_token(path: str) -> None:
    async def body(bench: Bench) -> None:
        assert (await bench.post(path))[0] == 401

    run(body)
