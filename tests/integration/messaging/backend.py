"""A back end whose answers to webhooks a test decides, and which keeps what it was asked."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class BackEnd:
    """POST /NAME is answered by `answers[NAME]`, with 404 where there is none. Use it as a context manager."""

    def __init__(self, host: str) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        """Name, body, and headers with names in lower case, in order."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                name = self.path.strip("/")
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((name, body, {key.lower(): value for key, value in self.headers.items()}))
                found = outer.answers.get(name)
                status, text = (200, json.dumps(found(body))) if found is not None else (404, "{}")
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text.encode())
                except OSError:  # the node has waited long enough
                    self.close_connection = True

            def log_message(self, *_values: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def bodies(self, name: str) -> list[dict[str, Any]]:
        """Return what it was asked under a name."""
        return [body for asked, body, _ in self.asked if asked == name]
