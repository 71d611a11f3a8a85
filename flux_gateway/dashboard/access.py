"""Who may do what: the admin token, the operator's session, forged requests, and names that are not ours."""

import hashlib
import hmac
import ipaddress
import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Request, session

from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

WRONG_TOKENS = 5
"""So many wrong tokens within `WRONG_WINDOW` seconds close the door for everybody until the window has passed."""

WRONG_WINDOW = 60.0


class Refused(Exception):
    """A request is not allowed. `status` is the HTTP status; the text is for the person at the page."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


def read_token(settings: DashboardSettings) -> str:
    """Return the admin token, or "" when there is none to be had: then the dashboard is read-only."""
    if not settings.token_file:
        return ""
    try:
        token = Path(settings.token_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        log.warning("no admin token, so read-only", extra=fields(file=settings.token_file, reason=reason))
        return ""
    if not token:
        log.warning("the admin token is empty, so read-only", extra=fields(file=settings.token_file))
    return token


class Access:
    """Decides on requests. Knows the token; never shows it."""

    def __init__(
        self, settings: DashboardSettings, token: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.token = token
        self._clock = clock
        self._unlock_seconds = settings.unlock_hours * 3600
        self._hosts = {"localhost", socket.gethostname().lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._wrong: deque[float] = deque()
        self._lock = threading.Lock()

    def session_key(self) -> bytes:
        """Return the key that signs session cookies. It follows the token, so that a new token ends all sessions."""
        if not self.token:
            return os.urandom(32)
        return hmac.digest(self.token.encode(), b"flux-dashboard-session-1", hashlib.sha256)

    def describe(self) -> dict[str, Any]:
        """Return what the page needs to know of its own session, with the token against forged requests."""
        if "csrf" not in session:
            session["csrf"] = secrets.token_urlsafe(24)
        controls = "unlocked" if self.is_operator() else "locked" if self.token else "absent"
        return {"csrf": session["csrf"], "controls": controls}

    def is_operator(self) -> bool:
        """Whether this session has shown the admin token, not too long ago."""
        until = session.get("operator_until", 0)
        return bool(self.token) and isinstance(until, int | float) and self._clock() < until

    def check_host(self, request: Request) -> None:
        """Refuse a request for a name that is not ours.

        A page of a stranger can make its own name point here (DNS rebinding), and the browser would let it read
        everything. An IP address or a configured name cannot be had that way.
        """
        name = (urlsplit(f"//{request.host}").hostname or "").lower()
        if name in self._hosts or _is_address(name):
            return
        raise Refused(421, f"This dashboard does not go by the name {name}. Add it to allowed_hosts.")

    def check_own_page(self, request: Request) -> None:
        """Refuse a request to change something that does not come from our own page."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            raise Refused(403, "The request comes from another site.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise Refused(403, "The request comes from another site.")
        expected = session.get("csrf", "")
        if not expected or not _equal(request.headers.get("X-CSRF-Token", ""), expected):
            raise Refused(403, "The page is out of date. Reload it.")

    def check_operator(self) -> None:
        """Refuse a session that has not shown the admin token."""
        if not self.token:
            raise Refused(403, "This dashboard is read-only: it has no admin token.")
        if not self.is_operator():
            raise Refused(401, "Unlock the controls with the admin token first.")

    def unlock(self, presented: str) -> None:
        """Make the session an operator's if the token is right. Raises `Refused` if not."""
        if not self.token:
            raise Refused(403, "This dashboard is read-only: it has no admin token.")
        now = self._clock()
        with self._lock:
            while self._wrong and self._wrong[0] < now - WRONG_WINDOW:
                self._wrong.popleft()
            if len(self._wrong) >= WRONG_TOKENS:
                raise Refused(429, "Too many wrong tokens. Try again in a minute.")
            if not _equal(presented.strip(), self.token):
                self._wrong.append(now)
                log.warning("a wrong admin token was entered")
                raise Refused(403, "That is not the cluster's admin token.")
        session["operator_until"] = now + self._unlock_seconds
        log.info("controls unlocked")

    def lock(self) -> None:
        """Make the session read-only again."""
        session.pop("operator_until", None)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
