"""Plain HTTP through the proxy: one request a connection, routed like a session and relayed as bytes.

It is for clients that cannot speak WebSocket and fall back to streamed answers. Such an exchange is never moved and
never kept: when it ends, the client asks again and goes on where it was, as Centrifuge's SDKs do.
"""

import contextlib
import re
import socket
from typing import Protocol

from flux_gateway.core.http_head import END, RequestHead
from flux_gateway.proxy.relay import Relay
from flux_gateway.runtime.poller import IN, OUT, Poller

PATHS = frozenset({"/connection/http_stream", "/connection/sse", "/emulation"})
"""What is served to plain HTTP. Everything else is for WebSockets alone."""

_METHODS = frozenset({"GET", "POST", "OPTIONS"})

_HOP_BY_HOP = re.compile(rb"\r\n(?:connection|keep-alive|proxy-connection|upgrade)[ \t]*:[^\r\n]*", re.IGNORECASE)

_CHUNK = 65_536


def is_plain(request: RequestHead) -> bool:
    """Tell whether a request goes on as plain HTTP."""
    return request.path in PATHS and request.method in _METHODS and not request.has_token("connection", "upgrade")


def single(head: bytes) -> bytes:
    """Return a request head, with its empty line, such that the node closes after its answer.

    What follows on the connection could otherwise be a second request, which nobody has routed.
    """
    return _HOP_BY_HOP.sub(b"", head[: -len(END)]) + b"\r\nConnection: close" + END


class Asker(Protocol):
    """What an upload needs of the opening that holds it."""

    client: socket.socket

    def went_on(self) -> None:
        """A piece of the body has come: the node gets its time to answer anew."""

    def abandon(self, reason: str) -> None:
        """The client is gone."""


class Upload:
    """What the client sends after its head, passed to the node that is asked until that one answers."""

    __slots__ = ("_backend", "_opening", "_poller", "_repeatable", "ended", "passed", "rest")

    def __init__(self, opening: Asker, poller: Poller, method: str) -> None:
        self._opening = opening
        self._poller = poller
        self._repeatable = method != "POST"
        self._backend: socket.socket | None = None
        """The node that has been sent the head."""
        self.rest = b""
        """Bytes the node has not taken yet; while there are any, the client is not read."""
        self.passed = False
        """A part of the body went to a node and is not here any more: no other node can be asked."""
        self.ended = False
        """The client sends no more."""

    @property
    def begun(self) -> bool:
        """Whether a node has been sent the head."""
        return self._backend is not None

    def begin(self, backend: socket.socket) -> None:
        """The node has been sent the head, and what came with it: go on with what the client still sends."""
        self._backend = backend
        if self.ended:
            self._shut()
        self._watch()

    def may_ask_another(self, failure: str) -> bool:
        """Tell whether another node can be asked, after this one was left because of `failure`.

        A POST must not be carried out twice: only a node that was not reached, or that refused, does not count.
        """
        again = not self.passed and (self._repeatable or not self.begun or failure == "unavailable")
        self._backend = None
        return again

    def stop(self) -> None:
        """The node is left: read the client no more."""
        if self.begun:
            self._poller.modify(self._opening.client.fileno(), 0)

    def on_client(self, events: int) -> None:
        """The client's socket is ready, or broken."""
        if not events & IN:
            self._opening.abandon("client left before it was served")
            return
        assert self._backend is not None
        try:
            data = self._opening.client.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._opening.abandon("client left before it was served")
            return
        if not data:
            self.ended = True
            self._shut()
        else:
            self.passed = True
            self._opening.went_on()
            self._send(data)
        self._watch()

    def flush(self) -> None:
        """The node takes bytes again."""
        if self.rest:
            self._opening.went_on()
            self._send(self.rest)
            if not self.rest and self.ended:
                self._shut()
            self._watch()

    def _send(self, data: bytes) -> None:
        assert self._backend is not None
        try:
            self.rest = data[self._backend.send(data) :]
        except BlockingIOError:
            self.rest = data
        except OSError:
            # It may have answered before it hung up ("too large", say): whoever reads it finds out.
            self.rest, self.ended = b"", True

    def _shut(self) -> None:
        assert self._backend is not None
        with contextlib.suppress(OSError):  # gone; whoever reads it finds out
            self._backend.shutdown(socket.SHUT_WR)

    def _watch(self) -> None:
        assert self._backend is not None
        self._poller.modify(self._opening.client.fileno(), 0 if self.rest or self.ended else IN)
        self._poller.modify(self._backend.fileno(), IN | (OUT if self.rest else 0))


class PlainRelay(Relay):
    """An exchange from the head of the answer to its end, which comes when the node closes. No frames are followed."""

    __slots__ = ()

    def begin(self, answer: bytes, upload: Upload | None) -> None:
        """Begin with what the node has answered so far; `upload` is what has become of the request's body."""
        self.up = self.down = None
        if upload is not None:
            self.to_backend, self.client_eof = upload.rest, upload.ended
        self.start(answer)
        if self.client_eof:
            self._board.flushing(self)

    @property
    def stuck(self) -> bool:
        """Whether nothing but the client is waited for; also if it sends no more: most have left then.

        A client that only half-closes gets what the node says within the switchboard's close timeout.
        """
        return super().stuck or (self.client_eof and not self.ending)

    def _client_ended(self) -> None:
        super()._client_ended()
        self._board.flushing(self)
