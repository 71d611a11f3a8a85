"""Composition root: everything a dashboard process is made of, put together."""

import logging
from datetime import timedelta

from flask import Flask, Response, current_app, request

from flux_gateway.dashboard import api, pages
from flux_gateway.dashboard.access import Access, Refused, read_token
from flux_gateway.dashboard.board import Board
from flux_gateway.dashboard.collector import Collector
from flux_gateway.dashboard.history import Histories
from flux_gateway.dashboard.parts import Parts, parts
from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.dashboard.shares import ShareCounter
from flux_gateway.dashboard.stream import StreamBudget
from flux_gateway.registry.connect import RedisSettings, connect_blocking
from flux_gateway.registry.reader import RegistryReader

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(settings: DashboardSettings, redis_settings: RedisSettings) -> Flask:
    """Return a dashboard whose threads run. `parts(app).close()` stops them.

    Raises `ConfigError` when the Redis password cannot be read; an absent Redis is no error, only stale data.
    """
    board, histories, shares = Board(), Histories(), ShareCounter()
    reader = RegistryReader(connect_blocking(redis_settings), heartbeat_life=redis_settings.heartbeat_life)
    collector = Collector(reader, board, histories, shares)
    access = Access(settings, read_token(settings))

    app = Flask(__name__)
    app.extensions["flux"] = Parts(board, collector, histories, shares, access, StreamBudget(settings.streams))
    app.config.update(
        SECRET_KEY=access.session_key(),
        SESSION_COOKIE_NAME="flux_dashboard",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.secure_cookie,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.unlock_hours),
    )
    app.before_request(_guard)
    app.after_request(_protect)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    shares.start()
    collector.start()
    return app


def _guard() -> Response | None:
    """Answer requests for a name that is not ours before anything else looks at them."""
    if request.path in ("/livez", "/readyz"):
        return None  # a supervisor asks by whatever name it has, and learns nothing
    try:
        parts(current_app).access.check_host(request)
    except Refused as error:
        return Response(f"{error}\n", error.status, mimetype="text/plain")
    return None


def _protect(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
