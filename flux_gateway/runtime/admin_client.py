"""Blocking requests to the admin HTTP of daemons: for commands and the dashboard."""

import http.client
from typing import Any

import msgspec

from flux_gateway.core.errors import CommandError


def request(
    method: str, host: str, port: int, path: str, *, token: str = "", timeout: float = 2.0
) -> tuple[int, Any]:
    """Return (HTTP status, decoded JSON or text). Raises `CommandError` when the daemon does not answer."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"no answer from {host}:{port}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if response.headers.get_content_type() == "application/json":
        return response.status, msgspec.json.decode(body)
    return response.status, body.decode(errors="replace")


def get(host: str, port: int, path: str, timeout: float = 2.0) -> Any:
    """GET a JSON page. Raises `CommandError` unless the daemon answers 200."""
    status, body = request("GET", host, port, path, timeout=timeout)
    if status != 200:
        raise CommandError(f"http://{host}:{port}{path} answered {status}: {body}")
    return body


def post(host: str, port: int, path: str, token: str, timeout: float = 5.0) -> Any:
    """POST with the cluster's token. Raises `CommandError` with what the daemon objected."""
    status, body = request("POST", host, port, path, token=token, timeout=timeout)
    if status >= 400:
        raise CommandError(body["error"] if isinstance(body, dict) and "error" in body else f"HTTP status {status}")
    return body
