"""Numbers of the client protocol: errors in replies, close codes, unsubscribe codes; exceptions that carry them."""

import json
from enum import IntEnum

from flux_gateway.core.errors import FluxError

_REASON_SIZE = 123
"""Bytes of reason that fit into a close frame (RFC 6455, section 5.5: 125 with the code)."""


class ErrorCode(IntEnum):
    """Why a command failed. A client that gets one on connect or subscribe retries if it is temporary, or expired."""

    INTERNAL = 100
    UNAUTHORIZED = 101
    UNKNOWN_CHANNEL = 102
    PERMISSION_DENIED = 103
    METHOD_NOT_FOUND = 104
    ALREADY_SUBSCRIBED = 105
    LIMIT_EXCEEDED = 106
    BAD_REQUEST = 107
    NOT_AVAILABLE = 108
    TOKEN_EXPIRED = 109
    EXPIRED = 110
    TOO_MANY_REQUESTS = 111
    UNRECOVERABLE_POSITION = 112
    CONCURRENT_PAGINATION = 113


class CloseCode(IntEnum):
    """Why a connection ends. Clients come back after 3000-3499 and 4000-4499, and stop for good after 3500-3999."""

    CONNECTION_CLOSED = 3000
    SHUTDOWN = 3001
    INTERNAL = 3004
    EXPIRED = 3005
    SUBSCRIPTION_EXPIRED = 3006
    SLOW = 3008
    WRITE_ERROR = 3009
    INSUFFICIENT_STATE = 3010
    FORCE_RECONNECT = 3011
    NO_PONG = 3012
    TOO_MANY_REQUESTS = 3013
    INVALID_TOKEN = 3500
    BAD_REQUEST = 3501
    STALE = 3502
    FORCE_DISCONNECT = 3503
    CONNECTION_LIMIT = 3504
    CHANNEL_LIMIT = 3505
    INAPPROPRIATE_PROTOCOL = 3506
    PERMISSION_DENIED = 3507
    NOT_AVAILABLE = 3508
    TOO_MANY_ERRORS = 3509


class UnsubscribeCode(IntEnum):
    """Why the server ended a subscription. Below 2500 it is final, from 2500 on the client subscribes again."""

    SERVER = 2000
    INSUFFICIENT = 2500
    EXPIRED = 2501
    STATE_INVALIDATED = 2502


_MESSAGES: dict[int, str] = {
    ErrorCode.INTERNAL: "internal server error",
    ErrorCode.UNAUTHORIZED: "unauthorized",
    ErrorCode.UNKNOWN_CHANNEL: "unknown channel",
    ErrorCode.PERMISSION_DENIED: "permission denied",
    ErrorCode.METHOD_NOT_FOUND: "method not found",
    ErrorCode.ALREADY_SUBSCRIBED: "already subscribed",
    ErrorCode.LIMIT_EXCEEDED: "limit exceeded",
    ErrorCode.BAD_REQUEST: "bad request",
    ErrorCode.NOT_AVAILABLE: "not available",
    ErrorCode.TOKEN_EXPIRED: "token expired",
    ErrorCode.EXPIRED: "expired",
    ErrorCode.TOO_MANY_REQUESTS: "too many requests",
    ErrorCode.UNRECOVERABLE_POSITION: "unrecoverable position",
    ErrorCode.CONCURRENT_PAGINATION: "concurrent pagination",
}

_TEMPORARY = frozenset({ErrorCode.INTERNAL, ErrorCode.TOO_MANY_REQUESTS, ErrorCode.CONCURRENT_PAGINATION})

_REASONS: dict[int, str] = {
    CloseCode.CONNECTION_CLOSED: "connection closed",
    CloseCode.SHUTDOWN: "shutdown",
    CloseCode.INTERNAL: "internal server error",
    CloseCode.EXPIRED: "connection expired",
    CloseCode.SUBSCRIPTION_EXPIRED: "subscription expired",
    CloseCode.SLOW: "slow",
    CloseCode.WRITE_ERROR: "write error",
    CloseCode.INSUFFICIENT_STATE: "insufficient state",
    CloseCode.FORCE_RECONNECT: "force reconnect",
    CloseCode.NO_PONG: "no pong",
    CloseCode.TOO_MANY_REQUESTS: "too many requests",
    CloseCode.INVALID_TOKEN: "invalid token",
    CloseCode.BAD_REQUEST: "bad request",
    CloseCode.STALE: "stale",
    CloseCode.FORCE_DISCONNECT: "force disconnect",
    CloseCode.CONNECTION_LIMIT: "connection limit",
    CloseCode.CHANNEL_LIMIT: "channel limit",
    CloseCode.INAPPROPRIATE_PROTOCOL: "inappropriate protocol",
    CloseCode.PERMISSION_DENIED: "permission denied",
    CloseCode.NOT_AVAILABLE: "not available",
    CloseCode.TOO_MANY_ERRORS: "too many errors",
}

_UNSUBSCRIBE_REASONS: dict[int, str] = {
    UnsubscribeCode.SERVER: "server unsubscribe",
    UnsubscribeCode.INSUFFICIENT: "insufficient state",
    UnsubscribeCode.EXPIRED: "subscription expired",
    UnsubscribeCode.STATE_INVALIDATED: "state invalidated",
}


class ClientError(FluxError):
    """A command failed, and its reply says so; the connection goes on. The message is never empty: SDKs read it."""

    def __init__(self, code: ErrorCode | int, message: str = "", temporary: bool | None = None) -> None:
        self.code = int(code)
        self.message = message or _MESSAGES.get(code) or f"error {int(code)}"
        self.temporary = code in _TEMPORARY if temporary is None else temporary
        super().__init__(f"{self.code} {self.message}")


class Disconnect(FluxError):
    """The connection ends with this close code. The reason is one that every SDK takes for a text."""

    def __init__(self, code: CloseCode | int, reason: str = "") -> None:
        self.code = int(code)
        self.reason = _plain(reason) or _REASONS.get(code) or f"closed with code {int(code)}"
        super().__init__(f"{self.code} {self.reason}")


def unsubscribe_reason(code: UnsubscribeCode | int) -> str:
    """Return the text that goes with an unsubscribe code. It is never empty."""
    return _UNSUBSCRIBE_REASONS.get(code) or f"unsubscribed with code {int(code)}"


def _plain(reason: str) -> str:
    """Return a reason that fits into a close frame and does not parse as JSON, or nothing.

    The JavaScript SDK looks at the code only if there is a reason, and obeys a reason that is JSON before the code.
    """
    text = _fitting(reason.strip())
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _fitting(f"reason: {text}")


def _fitting(text: str) -> str:
    """Cut at a character's end. What has no UTF-8 (half a surrogate pair) becomes a question mark."""
    return text.encode(errors="replace")[:_REASON_SIZE].decode(errors="ignore").strip()
