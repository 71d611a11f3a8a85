"""Admin HTTP of a daemon: `/livez`, `/readyz`, `/metrics`, `/info`, `/stat`, and POSTs that need the token.

A daemon may have routes with a key of their own below a prefix, such as `/api/`: those do without the token.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from flux_gateway.core.errors import ConfigError, FluxError
from flux_gateway.runtime.figures import stacks
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.loop_watch import LoopWatch

log = logging.getLogger(__name__)

STALE_LOOP = 5.0
"""A loop that is this many seconds late is not alive."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminSource(Protocol):
    """What a daemon tells the admin server about itself."""

    def ready(self) -> tuple[bool, str]:
        """Whether new work should be sent here, and why not."""

    def info(self) -> dict[str, Any]:
        """Public facts, for `/info`."""

    def stat(self) -> dict[str, Any]:
        """One sample for `flux stat`."""


def read_token(token_file: str) -> str:
    """Return the cluster's admin token; empty when no file is configured. Raises `ConfigError`."""
    if not token_file:
        return ""
    try:
        token = Path(token_file).read_text().strip()
    except OSError as error:
        raise ConfigError([f"token_file {token_file}: {error.strerror}"]) from error
    if len(token) < 16:
        raise ConfigError([f"token_file {token_file}: the token must have at least 16 characters"])
    return token


def authorised(request: web.Request, token: str) -> bool:
    """Tell whether the request carries the cluster's token. Without a configured token nothing is authorised."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())


def json_response(data: Any, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=msgspec.json.encode(data), content_type="application/json", status=status)


def build(
    source: AdminSource,
    watch: LoopWatch,
    metrics: Collector,
    token: str,
    *,
    more: Sequence[Collector] = (),
    own_key: str = "",
) -> web.Application:
    """Return the application with the routes every daemon has; the daemon adds its own before it starts it.

    `more` are further metrics. `own_key` is how the paths of those routes begin whose handlers judge a key of their
    own, instead of the token.
    """
    registry = CollectorRegistry()
    for collector in (metrics, *more):
        registry.register(collector)

    async def livez(_: web.Request) -> web.Response:
        age = max(watch.age(), watch.lag)
        return json_response({"alive": age < STALE_LOOP, "lag": round(age, 4)}, 200 if age < STALE_LOOP else 503)

    async def readyz(_: web.Request) -> web.Response:
        ready, reason = source.ready()
        return json_response({"ready": ready, "reason": reason}, 200 if ready else 503)

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain", charset="utf-8")

    async def info(_: web.Request) -> web.Response:
        return json_response(source.info())

    async def stat(_: web.Request) -> web.Response:
        return json_response(source.stat())

    async def dump(_: web.Request) -> web.Response:
        return json_response(stacks())

    application = web.Application(middlewares=[_guard(token, own_key)])
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics_page),
            web.get("/info", info),
            web.get("/stat", stat),
            web.post("/dump", dump),
        ]
    )
    return application


def _guard(token: str, own_key: str) -> Any:
    def exempt(request: web.Request) -> bool:
        # By the route that was found, not by the text of the path: what is called is what counts.
        resource = request.match_info.route.resource
        return bool(own_key) and resource is not None and resource.canonical.startswith(own_key)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST" and not exempt(request) and not authorised(request, token):
            log.warning("refused a POST without the token", extra=fields(path=request.path, peer=request.remote))
            return json_response({"error": "a POST needs the header Authorization: Bearer <cluster token>"}, 401)
        try:
            return await handler(request)
        except FluxError as error:
            return json_response({"error": str(error)}, 409)

    return guard


class AdminServer:
    """The application, listening."""

    def __init__(self, application: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._host, self._port = host, port

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, reuse_address=True).start()

    async def stop(self) -> None:
        """Stop listening and end what is being answered."""
        await self._runner.cleanup()
