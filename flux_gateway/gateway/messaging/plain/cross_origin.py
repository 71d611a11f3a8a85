"""Which pages of other origins may use plain HTTP here: the CORS protocol (fetch.spec.whatwg.org, section 3.3).

Browsers guard nothing else: a WebSocket's origin is judged in its handshake. Credentials are never asked for, since the
client's token is in its commands.
"""

from collections.abc import Sequence

from flux_gateway.core.errors import HttpError
from flux_gateway.core.http_head import RequestHead

_MAX_AGE = "3600"
"""Seconds a browser may remember the answer to its preflight."""

Headers = list[tuple[str, str]]


def allowing(head: RequestHead, allowed: Sequence[str]) -> Headers:
    """Return the headers that let the page read the answer. Raises `HttpError` 403; `allowed` may be empty: all.

    A request without Origin comes from no browser, or from the same origin.
    """
    origin = head.header("origin")
    if not allowed:
        return [("Access-Control-Allow-Origin", "*")]
    if origin and origin not in allowed:
        raise HttpError(403, "this Origin may not connect", [("Vary", "Origin")])
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")] if origin else [("Vary", "Origin")]


def preflight(head: RequestHead, method: str) -> Headers:
    """Return what an answer to OPTIONS says beside `allowing`: the path's method, and any headers."""
    wanted = head.header("access-control-request-headers")
    return [
        ("Allow", f"{method}, OPTIONS"),
        ("Access-Control-Allow-Methods", method),
        *([("Access-Control-Allow-Headers", wanted)] if wanted else []),
        ("Access-Control-Max-Age", _MAX_AGE),
    ]
