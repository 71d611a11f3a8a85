"""`flux rebalance` against proxies that answer as told, found through a real registry."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from flux_gateway.cli import rebalance
from flux_gateway.cli.main import cli
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import ProxyRecord
from flux_gateway.registry import keys
from tests.processes import REDIS_PORT, TOKEN, Stack


class FakeProxy:
    """A proxy's admin port. Each GET /rebalance takes up to `pace` sessions home once it was asked to move them."""

    def __init__(self, number: int, away: int = 0, pace: int = 100) -> None:
        self.id = f"proxy-{number}"
        self.away, self.pace, self.paused = away, pace, ""
        self.now = self.began = False
        self.asked: list[str] = []
        self.fails = {"GET": 0, "POST": 0}
        """Answers that are errors before the others."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, token: str | None) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if self.fails[method]:
            self.fails[method] -= 1
            return 503, {"error": "not now"}
        if method == "POST":
            if token != f"Bearer {TOKEN}":
                return 401, {"error": "token"}
            self.began, self.now = True, path.endswith("now=1")
            return 202, {"id": self.id, "moving": 0}
        if self.now and not self.paused:
            self.away = max(0, self.away - self.pace)
        return 200, {
            "id": self.id, "paused": self.paused, "away": self.away, "moving": 0, "pace": 200.0, "now": self.now,
        }  # fmt: skip

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                status, body = answer(self.command, self.path, self.headers["Authorization"])
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _do  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                """Say nothing."""

        return Handler


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis alone."""
    with Stack(tmp_path_factory.mktemp("registry")) as made:
        made.redis()
        yield made


class World:
    """A registry with fake proxies in it, and the command line beside them."""

    def __init__(self, stack: Stack, file: Path) -> None:
        self.stack, self.file, self.proxies = stack, file, list[FakeProxy]()
        file.write_text(
            f'[client]\nurl = "ws://127.0.0.1:1"\ntoken_file = "{stack.token_file}"\n'
            f'[redis]\nhost = "{stack.host(3, 1)}"\nport = {REDIS_PORT}\n'
        )

    def proxy(self, away: int = 0, pace: int = 100, alive: bool = True) -> FakeProxy:
        made = FakeProxy(len(self.proxies) + 1, away, pace)
        self.proxies.append(made)
        record = ProxyRecord(
            id=made.id, host="127.0.0.1", port=1, admin_host="127.0.0.1", admin_port=made.port, state=NodeState.UP
        )
        with self.stack.registry() as redis:
            redis.hset(keys.PROXIES, made.id, msgspec.json.encode(record).decode())
            if alive:
                redis.set(keys.heartbeat(made.id), "1", ex=15)
        return made

    def flux(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--deployed", str(self.file), "rebalance", *arguments])


@pytest.fixture
def world(stack: Stack, tmp_path: Path) -> Iterator[World]:
    with stack.registry() as redis:
        redis.flushall()
    made = World(stack, tmp_path / "flux.toml")
    yield made
    for proxy in made.proxies:
        proxy.close()


def test_every_proxy_is_asked_and_shown(world: World) -> None:
    one, two = world.proxy(away=40), world.proxy(away=2)
    two.paused = "gateway-2 is DRAINING"
    result = world.flux()
    assert result.exit_code == 0, result.output
    assert one.asked == two.asked == ["POST /rebalance", "GET /rebalance"]
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["proxy-1", "40", "0", "200/min", "no"] in lines
    assert ["proxy-2", "2", "0", "200/min", "gateway-2", "is", "DRAINING"] in lines


def test_status_asks_for_nothing(world: World) -> None:
    proxy = world.proxy(away=7)
    result = world.flux("--status", "--json")
    assert json.loads(result.stdout) == {
        "proxies": [{"id": "proxy-1", "paused": "", "away": 7, "moving": 0, "pace": 200.0, "now": False}]
    }
    assert proxy.asked == ["GET /rebalance"]


def test_now_waits_until_every_session_is_where_it_belongs(world: World) -> None:
    one, two = world.proxy(away=300), world.proxy(away=100)
    started = time.monotonic()
    result = world.flux("--now", "--json")
    assert result.exit_code == 0, result.output
    assert 0.3 < time.monotonic() - started < 5
    assert (one.asked[0], one.away, two.away) == ("POST /rebalance?now=1", 0, 0)
    assert [proxy["away"] for proxy in json.loads(result.stdout)["proxies"]] == [0, 0]


def test_now_ends_with_status_1_when_the_time_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebalance, "_LONGEST", 0.5)
    world.proxy(away=10, pace=10)
    world.proxy(away=12).paused = "gateway-2 is DRAINING"
    result = world.flux("--now")
    assert result.exit_code == 1
    assert "proxy-2" in result.stdout
    said = str(result.exception)
    assert "after 0.5 s: proxy-2 has 12 away, 0 moving (paused: gateway-2 is DRAINING)" in said
    assert "proxy-1 has" not in said
    assert "flux rebalance --status" in said


def test_now_bears_with_a_proxy_that_is_silent_for_a_moment_but_not_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = world.proxy(away=200)
    proxy.fails["GET"] = 2
    assert world.flux("--now").exit_code == 0
    assert proxy.away == 0
    monkeypatch.setattr(rebalance, "_SILENCE", 0.3)
    proxy.fails["GET"] = 1000
    result = world.flux("--now")
    assert result.exit_code == 1
    assert "proxy-1: " in str(result.exception)
    assert "503" in str(result.exception)


def test_whoever_watches_sees_how_many_are_away_and_why_it_pauses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebalance, "_LONGEST", 0.5)
    screen = io.StringIO()
    monkeypatch.setattr(rebalance, "err", Console(file=screen, force_terminal=True, width=120))
    world.proxy(away=12).paused = "gateway-2 is DRAINING"
    assert world.flux("--now").exit_code == 1
    assert "12 sessions away" in screen.getvalue()
    assert "paused: gateway-2 is DRAINING" in screen.getvalue()


def test_one_that_cannot_be_asked_does_not_keep_the_others_from_it(world: World) -> None:
    world.proxy().fails["POST"] = 1
    two = world.proxy(away=3)
    result = world.flux("--now")
    assert result.exit_code == 1
    assert two.asked[0] == "POST /rebalance?now=1"
    assert "proxy-1 answered 503: not now" in str(result.exception)
    assert "proxy-2" in result.stdout


def test_a_dead_proxy_is_left_out_and_without_any_it_is_an_error(world: World) -> None:
    dead = world.proxy(away=5, alive=False)
    result = world.flux()
    assert result.exit_code == 1
    assert "no proxy is running" in str(result.exception)
    world.proxy()
    assert world.flux("--now").exit_code == 0
    assert dead.asked == []


def test_now_and_status_exclude_each_other(world: World) -> None:
    result = world.flux("--now", "--status")
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_on_the_terminal_an_error_is_one_line(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flux_gateway", "--deployed", str(world.file), "rebalance", "--status"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("flux: no proxy is running")
    assert len(done.stderr.splitlines()) == 1
