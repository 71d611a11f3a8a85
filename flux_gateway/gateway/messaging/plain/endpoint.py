"""Paths for clients that cannot use WebSocket: `/connection/http_stream`, `/connection/sse` and `/emulation`."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs

from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.errors import HttpError
from flux_gateway.core.http_head import RequestHead
from flux_gateway.gateway import session_log
from flux_gateway.gateway.messaging.encodings import HTTP_STREAM_JSON, HTTP_STREAM_PROTOBUF, SSE, Encoding
from flux_gateway.gateway.messaging.endpoint import Messaging
from flux_gateway.gateway.messaging.plain import cross_origin
from flux_gateway.gateway.messaging.plain.emulation import Emulation
from flux_gateway.gateway.messaging.plain.exchange import HttpExchange
from flux_gateway.gateway.messaging.plain.stream import StreamConnection, StreamSession
from flux_gateway.gateway.node import Node

HTTP_STREAM = "/connection/http_stream"
SERVER_SENT_EVENTS = "/connection/sse"
EMULATION = "/emulation"

_CONTENT_TYPES: dict[Encoding, str] = {
    HTTP_STREAM_JSON: "application/x-ndjson",
    HTTP_STREAM_PROTOBUF: "application/octet-stream",
    SSE: "text/event-stream",
}

_SWEEP = 0.25
"""Seconds between two looks at the deadlines."""


class Served(NamedTuple):
    """What a path is for: its method, and what begins with a request's head."""

    method: str
    begin: Callable[[HttpExchange], None]


class HttpEndpoint:
    """The node's plain HTTP. Owns every exchange from its head to its answer, or until it has become a stream."""

    def __init__(self, node: Node, messaging: Messaging, emulation: Emulation) -> None:
        self._node, self._messaging, self._emulation = node, messaging, emulation
        self._reading: Deadlines[HttpExchange] = Deadlines(node.settings.head_timeout)
        self._leaving: Deadlines[HttpExchange] = Deadlines(node.settings.close_timeout)
        self._served = {
            HTTP_STREAM: Served("POST", lambda exchange: exchange.read(messaging.max_message, self._stream)),
            SERVER_SENT_EVENTS: Served("GET", self._events),
            EMULATION: Served("POST", lambda exchange: exchange.read(emulation.body_limit, emulation.serve)),
        }

    def open_up(self) -> None:
        """Serve the paths. Call it before the node listens."""
        for path in self._served:
            self._node.plain[path] = self
        self._node.every(_SWEEP, self._sweep)

    def close(self) -> None:
        """Cut what is under way; nothing happens the second time."""
        for exchange in [*self._reading, *self._leaving]:
            exchange.transport.abort()

    # As an endpoint of the node.

    def begin(
        self, transport: asyncio.Transport, head: RequestHead, rest: bytes, *, session_id: str, client: str
    ) -> None:
        """Take over a connection after a request's head, `rest` being what came after it."""
        exchange = HttpExchange(self, transport, head, session_id, client)
        self._reading.add(exchange, self._node.now())
        transport.set_protocol(exchange)
        exchange.attempt(lambda: self._judge(exchange))
        exchange.data_received(rest)

    def _judge(self, exchange: HttpExchange) -> None:
        head, served = exchange.head, self._served[exchange.head.path]
        exchange.headers = cross_origin.allowing(head, self._node.settings.allowed_origins)
        if head.method == "OPTIONS":
            exchange.answer(204, cross_origin.preflight(head, served.method))
        elif head.method != served.method:
            raise HttpError(405, f"use {served.method} here", [("Allow", f"{served.method}, OPTIONS")])
        else:
            if head.path != EMULATION:
                # Asked before the body is read: a proxy can then still ask the next node.
                self._node.check_admission()
            served.begin(exchange)

    # Streams.

    def _events(self, exchange: HttpExchange) -> None:
        commands = parse_qs(exchange.head.query).get("cf_connect", [""])[0].encode()
        if not commands:
            raise HttpError(400, "the query needs a connect command: cf_connect=...")
        if len(commands) > self._messaging.max_message:
            raise HttpError(413, f"commands larger than {self._messaging.max_message} bytes")
        self._open(exchange, SSE, commands)

    def _stream(self, exchange: HttpExchange, body: bytes) -> None:
        self._node.check_admission()
        self._open(exchange, HTTP_STREAM_PROTOBUF if exchange.binary else HTTP_STREAM_JSON, body)

    def _open(self, exchange: HttpExchange, encoding: Encoding, commands: bytes) -> None:
        node, messaging = self._node, self._messaging
        client = messaging.open_stream(exchange.head, exchange.session_id, encoding)
        session = StreamSession(
            exchange.session_id,
            client,
            connected_at=node.wall_clock(),
            max_size=messaging.max_message,
            traffic=node.counters.traffic,
            path=exchange.head.path,
        )
        exchange.headers += [("X-Flux-Node", node.settings.id), ("X-Flux-Session", session.id)]
        transport = exchange.give_away(_CONTENT_TYPES[encoding])
        if encoding is SSE:
            # Some intermediaries hold the head back until the body begins; an empty line says nothing.
            transport.write(b"\n")
        stream = StreamConnection(node, transport, session, lambda: self._emulation.discard(client.secret))
        transport.set_protocol(stream)
        node.joined(stream)
        messaging.started(stream)
        self._emulation.add(client.secret, stream)
        if node.settings.log_sessions:
            session_log.opened(session, node.settings.id, exchange.client, exchange.head.path)
        session.take(commands)

    # As the owner of exchanges.

    def lingering(self, exchange: HttpExchange) -> None:
        """The answer is on its way; the client gets a moment to read it."""
        self._reading.discard(exchange)
        self._leaving.add(exchange, self._node.now())

    def over(self, exchange: HttpExchange) -> None:
        """The connection has ended, or has become a stream."""
        self._reading.discard(exchange)
        self._leaving.discard(exchange)

    def refused(self, status: int) -> None:
        """A request was answered with an error."""
        self._node.counters.refused[str(status)] += 1

    def _sweep(self) -> None:
        now = self._node.now()
        for deadlines in (self._reading, self._leaving):
            for exchange in [*deadlines.expired(now)]:
                exchange.expire()
