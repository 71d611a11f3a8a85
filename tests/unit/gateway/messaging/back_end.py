"""A small real HTTP server that notes what it is asked and answers as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web


class BackEnd:
    """What to answer next, and what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.requests = 0
        self.peers: set[Any] = set()
        self.answer: bytes | str = b"{}"
        self.status = 200
        self.answer_headers: dict[str, str] = {}
        self.delay = 0.0
        """Seconds."""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.method == "POST":
            self.asked.append(await request.json())
        await asyncio.sleep(self.delay)
        body = self.answer.encode() if isinstance(self.answer, str) else self.answer
        return web.Response(body=body, status=self.status, headers=self.answer_headers)


@contextlib.asynccontextmanager
async def back_end() -> AsyncIterator[BackEnd]:
    """A back end that listens on a free port of the loopback."""
    one = BackEnd()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", one.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    one.url = f"http://{host}:{port}"
    try:
        yield one
    finally:
        await runner.cleanup()
