"""Fixtures: a real Redis, members in it, and a dashboard app whose threads run."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flux_gateway.dashboard.app import create_app
from flux_gateway.dashboard.parts import parts
from flux_gateway.dashboard.settings import DashboardSettings
from tests.unit.dashboard.world import Members, RedisServer, redis_binary, wait_for

TOKEN = "the-admin-token-of-tests"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running redis-server."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server on PATH or beside the interpreter")
    server = RedisServer(binary, tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def members(redis_server: RedisServer) -> Members:
    """Writes into the registry."""
    return Members(redis_server)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the admin token."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(redis_server: RedisServer) -> Iterator[MakeApp]:
    """Make apps with the given settings; their threads are stopped at the end."""
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        app = create_app(DashboardSettings(**settings), redis_server.settings)
        made.append(app)
        return app

    yield make
    for app in made:
        parts(app).close()


@pytest.fixture
def app(make_app: MakeApp, token_file: Path) -> Flask:
    """A dashboard with an admin token that has read the registry once."""
    app = make_app(token_file=str(token_file))
    wait_for(lambda: not parts(app).board.view.stale, "the dashboard did not read the registry")
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser's stand-in."""
    return app.test_client()


class Operator:
    """A client that sends what our page sends."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.csrf: str = client.get("/api/session").json["csrf"]  # type: ignore[index]

    def post(self, path: str, content: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """POST as the page does; `headers` with underscores replace or add. Returns status and JSON."""
        sent = {"X-CSRF-Token": self.csrf, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = self.client.post(path, data=json.dumps(content or {}), headers=sent)
        return answer.status_code, answer.json or {}

    def unlock(self, token: str = TOKEN) -> int:
        """Enter the admin token. Returns the status."""
        return self.post("/api/unlock", {"token": token})[0]


@pytest.fixture
def operator(client: FlaskClient) -> Operator:
    """A client with a session."""
    return Operator(client)


class AdminPort:
    """A node's admin port: notes what it is asked and answers `status`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.status = 202
        port = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                port.asked.append((self.path, self.headers.get("Authorization", "")))
                self.send_response(port.status)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"told")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.number: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def admin_port() -> Iterator[AdminPort]:
    """A small real HTTP server in the place of a node's admin port."""
    port = AdminPort()
    yield port
    port.close()
