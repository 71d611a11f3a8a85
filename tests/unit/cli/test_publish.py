"""`flux publish`: what it sends, what it prints, and what it says when the API objects."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flux_gateway.cli.main import cli
from flux_gateway.core.errors import CommandError
from tests.unit.cli.conftest import Host

KEY = "0123456789abcdef-key"


class Api(ThreadingHTTPServer):
    """A server API that answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.answer = 200, b'{"result":{"offset":7,"epoch":"abcd"}}'
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Notes the request."""

    server: Api

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json" if self.server.answer else "text/plain")
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "api.key"
    file.write_text(KEY + "\n")
    return file


def publish(api: Api, key: Path, *arguments: str, given: str | None = None) -> Result:
    command = ["publish", "--url", api.url, "--api-key-file", str(key), *arguments]
    return CliRunner().invoke(cli, command, input=given)


def test_the_channel_and_exactly_this_json_are_sent_with_the_key(api: Api, key: Path) -> None:
    result = publish(api, key, "chat:ä", ' {"n": 1.50, "t":"\\u00e4"} ')
    assert (result.exit_code, result.output) == (0, "published into chat:ä: offset 7, epoch abcd\n")
    ((path, headers, body),) = api.seen
    assert (path, headers["X-API-Key"], headers["Content-Type"]) == ("/api/publish", KEY, "application/json")
    assert body == '{"channel":"chat:ä","data":{"n": 1.50, "t":"\\u00e4"}}'.encode()


def test_as_json_the_result_is_printed(api: Api, key: Path) -> None:
    result = publish(api, key, "a", "1", "--json")
    assert json.loads(result.output) == {"offset": 7, "epoch": "abcd"}
    api.answer = b'{"result":{}}'
    assert json.loads(publish(api, key, "a", "1", "--json").output) == {}
    assert publish(api, key, "a", "1").output == "published into a\n"


def test_the_json_may_come_from_the_input(api: Api, key: Path) -> None:
    assert publish(api, key, "a", "-", given='"x"\n').exit_code == 0
    assert json.loads(api.seen[0][2])["data"] == "x"


@pytest.mark.parametrize("data", ["hello", "{", "", "1 2", "NaN", "'a'"])
def test_what_is_not_json_is_not_sent(api: Api, key: Path, data: str) -> None:
    result = publish(api, key, "a", data)
    assert result.exit_code == 2
    assert "not JSON" in result.output
    assert not api.seen


@pytest.mark.parametrize("url", ["ftp://x", "10.0.0.1:80", "http://", "http://x:99999", "http://x/?a=b"])
def test_an_address_that_is_none_is_wrong_usage(key: Path, url: str) -> None:
    result = CliRunner().invoke(cli, ["publish", "--url", url, "--api-key-file", str(key), "a", "1"])
    assert result.exit_code == 2
    assert "it looks like http://" in result.output


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, b"", "the key was not accepted"),
        (404, b"", "api_key_file in their section"),
        (401, b'{"error":"a POST needs the header Authorization"}', "api_key_file in their section"),
        (200, b'{"error":{"code":102,"message":"unknown channel"}}', "publish failed: unknown channel (code 102)"),
        (503, b'{"error":"no node can be reached now"}', "503: no node can be reached now"),
        (200, b"[]", "answered 200"),
    ],
)
def test_what_the_api_objects_is_said(api: Api, key: Path, status: int, answer: bytes, said: str) -> None:
    api.status, api.answer = status, answer
    error = publish(api, key, "a", "1").exception
    assert isinstance(error, CommandError)
    assert said in str(error)
    assert KEY not in str(error)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\xff" * 20, "no header can carry"),
        (b"one secret\nanother secret\n", "more than a line"),
        (None, "No such file"),
    ],
)
def test_a_key_file_that_is_of_no_use_is_named(api: Api, key: Path, content: bytes | None, said: str) -> None:
    if content is None:
        key.unlink()
    else:
        key.write_bytes(content)
    error = publish(api, key, "a", "1").exception
    assert isinstance(error, CommandError)
    assert said in str(error)
    assert str(key) in str(error)
    assert "secret" not in str(error)


def test_a_deployed_cluster_is_asked_through_its_proxy_with_the_key_of_its_file(host: Host, key: Path) -> None:
    _, said = host.flux("publish", "a", "1", status=1)
    assert "give --api-key-file, or api_key_file in [client]" in said
    host.write(client=f'api_key_file = "{key}"')
    _, said = host.flux("publish", "a", "1", status=1)
    assert "not accepted" in said or "there is no server API" in said, "the proxy has passed it on to a node"
