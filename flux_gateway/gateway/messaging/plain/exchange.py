"""One request of plain HTTP after its head: its body, and the answer, with which the connection ends.

A body must have a Content-Length: what clients send here fits into one message.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from flux_gateway.core.errors import HttpError
from flux_gateway.core.http_head import RequestHead, error_response

_DIGITS = 9
"""Of a length; one with more is too large whatever the limit."""


class Owner(Protocol):
    """What an exchange needs of who holds it."""

    def lingering(self, exchange: "HttpExchange") -> None:
        """The answer is on its way; the client gets a moment to read it."""

    def over(self, exchange: "HttpExchange") -> None:
        """The connection has ended, or belongs to somebody else."""

    def refused(self, status: int) -> None:
        """A request was answered with an error."""


class HttpExchange(asyncio.Protocol):
    """Reads the body, hands it to `serve` together with itself, and is answered, or gives its transport away."""

    __slots__ = (
        "_body", "_expected", "_owner", "_serve", "answered", "client", "head", "headers", "session_id", "transport",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, transport: asyncio.Transport, head: RequestHead, session_id: str, client: str
    ) -> None:
        self._owner = owner
        self.transport = transport
        self.head = head
        self.session_id = session_id
        """From the proxy, or made here: a new session may have it."""
        self.client = client
        """Address of the client."""
        self.headers: list[tuple[str, str]] = []
        """Of every answer."""
        self.answered = False
        self._serve: Callable[[HttpExchange, bytes], None] | None = None
        self._expected = 0
        self._body = bytearray()

    @property
    def binary(self) -> bool:
        """Whether the request is in Protobuf."""
        return self.head.header("content-type").partition(";")[0].strip().lower() == "application/octet-stream"

    def read(self, limit: int, serve: Callable[["HttpExchange", bytes], None]) -> None:
        """Collect the body, of at most `limit` bytes; then call `serve` with it. Raises `HttpError`."""
        self._expected = length(self.head, limit)
        self._serve = serve
        if self._expected and self.head.header("expect").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        """Take a piece of the body. What follows it is dropped: one request a connection."""
        serve = self._serve
        if self.answered or serve is None:
            return
        self._body += data
        if len(self._body) >= self._expected:
            self._serve = None
            body, self._body = bytes(self._body[: self._expected]), bytearray()
            self.attempt(lambda: serve(self, body))

    def attempt(self, work: Callable[[], None]) -> None:
        """Do a part of serving the request; refuse it where that raises `HttpError`."""
        try:
            work()
        except HttpError as error:
            self.refuse(error)

    def answer(self, status: int, more: list[tuple[str, str]] | None = None) -> None:
        """Answer without a body."""
        if not self.answered:
            headers = [*self.headers, *(more or [])]
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers]
            self._finish("\r\n".join([*lines, "", ""]).encode())

    def refuse(self, error: HttpError) -> None:
        """Answer with an error."""
        if not self.answered:
            self._owner.refused(error.status)
            self._finish(error_response(HttpError(error.status, str(error), [*self.headers, *error.headers])))

    def _finish(self, answer: bytes) -> None:
        self.answered = True
        self._body.clear()
        if self.transport.is_closing():
            return
        self.transport.write(answer)
        self._owner.lingering(self)
        if self.transport.can_write_eof():
            # Closing with unread bytes would reset the connection and could destroy the answer on its way.
            self.transport.write_eof()

    def give_away(self, content_type: str) -> asyncio.Transport:
        """Begin an answer that the caller goes on with, to the end of the connection."""
        self.answered = True
        self._owner.over(self)
        lines = [
            "HTTP/1.1 200 OK",
            "Connection: close",
            f"Content-Type: {content_type}",
            "Cache-Control: no-store, no-transform",
            # nginx would collect it otherwise.
            "X-Accel-Buffering: no",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode())
        return self.transport

    def expire(self) -> None:
        """The time for the body, for the answer, or for leaving after it, is over."""
        if self.answered:
            self.transport.abort()
        elif self._serve is not None:
            self.refuse(HttpError(408, "the request's body did not come in time"))
        else:
            self.refuse(HttpError(504, "the commands were not taken in time"))

    def eof_received(self) -> bool:
        """The client sends no more. Returns whether the connection stays open: as long as an answer is owed."""
        return self._serve is None and not self.answered

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.answered = True
        self._owner.over(self)


def length(head: RequestHead, limit: int) -> int:
    """Return the size of a request's body. Raises `HttpError` 400, 411 and 413."""
    if head.header("transfer-encoding"):
        raise HttpError(411, "send the body whole, with a Content-Length")
    given = {value for name, value in head.headers if name == "content-length"}
    if not given:
        raise HttpError(411, "a Content-Length is needed")
    text = given.pop()
    if given or not (text.isascii() and text.isdigit()):
        raise HttpError(400, "malformed Content-Length")
    if len(text) > _DIGITS or int(text) > limit:
        raise HttpError(413, f"body larger than {limit} bytes")
    return int(text)
