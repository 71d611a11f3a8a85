"""Blocking requests to the admin HTTP of daemons: for commands and the dashboard."""

import http.client
from collections.abc import Mapping
from typing import Any

import msgspec

from flux_gateway.core.errors import CommandError


class NotReached(CommandError):
    """There is no connection to the daemon: it has heard nothing of the request."""


def request(
    method: str,
    host: str,
    port: int,
    path: str,
    *,
    token: str = "",
    timeout: float = 2.0,
    who: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    tls: bool = False,
) -> tuple[int, Any]:
    """Return (HTTP status, decoded JSON or text).

    Raises `CommandError` when the daemon, called `who` in the text, does not answer.
    """
    who = who or f"{host}:{port}"
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    try:
        connection.connect()
    except TimeoutError as error:
        connection.close()
        raise NotReached(f"{who} did not answer within {timeout:g} s") from error
    except OSError as error:
        connection.close()
        raise NotReached(f"{who} cannot be reached: {error.strerror or error}") from error
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        answer = response.read()
    except TimeoutError as error:
        raise CommandError(f"{who} did not answer within {timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CommandError(f"{who} cannot be reached: {reason}") from error
    finally:
        connection.close()
    if response.headers.get_content_type() == "application/json":
        return response.status, msgspec.json.decode(answer)
    return response.status, answer.decode(errors="replace")


def get(host: str, port: int, path: str, timeout: float = 2.0) -> Any:
    """GET a JSON page. Raises `CommandError` unless the daemon answers 200."""
    status, body = request("GET", host, port, path, timeout=timeout)
    if status != 200:
        raise CommandError(f"http://{host}:{port}{path} answered {status}: {body}")
    return body


def post(host: str, port: int, path: str, token: str, timeout: float = 5.0, who: str = "") -> Any:
    """POST with the cluster's token. Raises `CommandError` with what the daemon objected."""
    status, body = request("POST", host, port, path, token=token, timeout=timeout, who=who)
    if status >= 400:
        said = body["error"] if isinstance(body, dict) and "error" in body else str(body)[:300].strip()
        raise CommandError(f"{who or f'{host}:{port}'} answered {status}: {said}")
    return body
