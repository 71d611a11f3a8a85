"""Tokens as a back end would make them."""

import time
from typing import Any

import jwt


def connect_token(secret: str, user: str, *, seconds: float | None = None, **claims: Any) -> str:
    """Return a token for a connection; with `seconds` it expires then."""
    if seconds is not None:
        claims["exp"] = int(time.time() + seconds)
    return jwt.encode({"sub": user, **claims}, secret, algorithm="HS256")


def subscribe_token(secret: str, user: str, channel: str, *, seconds: float | None = None, **claims: Any) -> str:
    """Return a token for a subscription."""
    return connect_token(secret, user, seconds=seconds, channel=channel, **claims)
