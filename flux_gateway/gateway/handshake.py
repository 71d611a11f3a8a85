"""The first bytes of a connection: PROXY header, request head, the decision, and the answer."""

import asyncio
from ipaddress import ip_address
from sys import intern
from typing import Protocol, cast

from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Origin

from flux_gateway.core import proxy_protocol
from flux_gateway.core.errors import HttpError, ProxyHeaderError
from flux_gateway.core.http_head import RequestHead, error_response, find_end, parse_request, require_websocket
from flux_gateway.core.proxy_protocol import TICKET, ProxyHeader
from flux_gateway.core.session import Session
from flux_gateway.core.ticket import Ticket
from flux_gateway.gateway import attach, connection, session_log
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.endpoints import Plain
from flux_gateway.gateway.settings import Network

_DEFLATE = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


class Owner(connection.Owner, attach.Owner, Protocol):
    """What a handshake needs of the node that it wants to join."""

    plain: dict[str, Plain]
    trusted_networks: tuple[Network, ...]

    def arrived(self, handshake: "Handshake") -> None:
        """A TCP connection was accepted."""

    def opened(self, handshake: "Handshake", connection: Connection) -> None:
        """The handshake became a session."""

    def attached(self, handshake: "Handshake", connection: Connection, reason: str) -> None:
        """A session has come from another node."""

    def lingering(self, handshake: "Handshake") -> None:
        """The handshake was refused; the client gets a moment to read why."""

    def left(self, handshake: "Handshake") -> None:
        """The connection ended before it became a session."""

    def new_session_id(self) -> str:
        """Return an id for a client that came without a proxy."""

    def log_refusal(self, what: str, peer: str, why: str) -> None:
        """Note a refused connection in the log."""


class Handshake(asyncio.Protocol):
    """Lives until the session is open, then hands its transport over to a `Connection`."""

    __slots__ = ("_answered", "_buffer", "_header", "_node", "_ticket", "_transport")

    def __init__(self, node: Owner) -> None:
        self._node = node
        self._buffer = bytearray()
        self._header: ProxyHeader | None = None
        self._ticket: Ticket | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client, or a proxy on behalf of one, has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass of asyncio's
        self._node.arrived(self)

    def data_received(self, data: bytes) -> None:
        """Collect until the head is whole, then decide."""
        if self._answered:
            return  # lingering after an error
        self._buffer += data
        try:
            if self._header is None and not self._read_proxy_header():
                return
            if self._ticket is not None:
                if len(self._buffer) >= self._ticket.state_size:
                    self._attach(self._ticket)
                return
            end = find_end(self._buffer, self._node.settings.head_limit)
            if end >= 0:
                head, rest = parse_request(bytes(self._buffer[:end])), bytes(self._buffer[end:])
                (self._hand_over if head.path in self._node.plain else self._open)(head, rest)
        except HttpError as error:
            self._refuse(error)
        except ProxyHeaderError as error:
            self._node.counters.refused["proxy header"] += 1
            self._node.log_refusal("bad PROXY header", self._peer(), str(error))
            self._transport.abort()

    def _read_proxy_header(self) -> bool:
        """Take a PROXY header off the buffer if there is one. Returns False while more bytes are needed."""
        if not proxy_protocol.looks_like_header(self._buffer):
            self._header = ProxyHeader(None)
            return True
        if not self._trusted():
            raise ProxyHeaderError("from a peer that is not a trusted proxy")
        found = proxy_protocol.decode(self._buffer)
        if found is None:
            return False
        self._header, used = found
        del self._buffer[:used]
        if TICKET in self._header.tlvs:
            self._ticket = attach.judge(self._node, self._header)
        return True

    def _peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else "unknown"

    def _trusted(self) -> bool:
        networks = self._node.trusted_networks
        peer = self._peer()
        return peer != "unknown" and any(ip_address(peer) in network for network in networks)

    def _open(self, head: RequestHead, rest: bytes) -> None:
        node = self._node
        self._admit(head)
        response, extensions = self._negotiate(head)
        assert self._header is not None
        session_id, stateful = self._header.session_id or node.new_session_id(), node.stateful.get(head.path)
        application = None if stateful is None else stateful.open(head, session_id)
        session = Session(
            session_id,
            application or node.endpoints[head.path],
            connected_at=node.wall_clock(),
            max_size=node.settings.max_message if stateful is None else stateful.max_message,
            traffic=node.counters.traffic,
            extensions=extensions,
            path=head.path,
            application=application,
        )
        response.headers["X-Flux-Node"] = node.settings.id
        response.headers["X-Flux-Session"] = session.id
        self._answered = True
        opened = Connection(node, self._transport, session, intern(self._header.proxy_id))
        self._transport.write(response.serialize())
        self._transport.set_protocol(opened)
        node.opened(self, opened)
        if stateful is not None:
            stateful.started(opened)
        if node.settings.log_sessions:
            client = self._header.client[0] if self._header.client else self._peer()
            session_log.opened(session, node.settings.id, client, head.path)
        self._buffer.clear()
        if rest:
            opened.data_received(rest)

    def _hand_over(self, head: RequestHead, rest: bytes) -> None:
        """Leave a request of plain HTTP to those who serve its path."""
        node, header = self._node, self._header
        assert header is not None
        self._answered = True
        self._buffer.clear()
        node.left(self)
        node.plain[head.path].begin(
            self._transport, head, rest,
            session_id=header.session_id or node.new_session_id(),
            client=header.client[0] if header.client else self._peer(),
        )  # fmt: skip

    def _attach(self, ticket: Ticket) -> None:
        """Take over a session from another node, and go on with its stream."""
        node, header, size = self._node, self._header, ticket.state_size
        assert header is not None
        state, rest = bytes(self._buffer[:size]), bytes(self._buffer[size:])
        session = attach.thaw(node, header, ticket, state)
        self._answered = True
        opened = Connection(node, self._transport, session, intern(header.proxy_id))
        self._transport.write(b"HTTP/1.1 101 Attached\r\nX-Flux-Node: %b\r\n\r\n" % node.settings.id.encode())
        self._transport.set_protocol(opened)
        node.attached(self, opened, ticket.reason)
        stateful = node.stateful.get(session.path)
        if stateful is not None:
            stateful.started(opened)
        if node.settings.log_sessions:
            session_log.attached(session, node.settings.id, ticket.reason)
        self._buffer.clear()
        if rest:
            opened.data_received(rest)

    def _admit(self, head: RequestHead) -> None:
        """Judge what can be judged before the WebSocket part. Raises `HttpError`."""
        node = self._node
        require_websocket(head)
        if head.path not in node.endpoints and head.path not in node.stateful:
            raise HttpError(404, f"no such endpoint; there are {', '.join(sorted([*node.endpoints, *node.stateful]))}")
        node.check_admission()

    def _negotiate(self, head: RequestHead) -> tuple[Response, list[Extension]]:
        """Judge the WebSocket part by RFC 6455, section 4.2. Raises `HttpError`."""
        settings = self._node.settings
        if head.header("sec-websocket-version") not in ("", "13"):
            wanted = [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade, close")]
            raise HttpError(426, "only version 13 of the WebSocket protocol is spoken here", wanted)
        # A request without Origin comes from no browser, and cannot be a cross-site one.
        origins = [*map(Origin, settings.allowed_origins), None] if settings.allowed_origins else None
        protocol = ServerProtocol(origins=origins, extensions=[_DEFLATE] if settings.deflate else None)
        response = protocol.accept(Request(head.target, Headers(head.headers)))
        if response.status_code != 101:
            texts = {403: "this Origin may not connect", 426: "not a WebSocket request"}
            text = texts.get(response.status_code, "malformed WebSocket handshake")
            raise HttpError(response.status_code, text)
        stateful = self._node.stateful.get(head.path)
        chosen = "" if stateful is None else stateful.subprotocol(head)
        if chosen:
            response.headers["Sec-WebSocket-Protocol"] = chosen
        return response, protocol.extensions

    def _refuse(self, error: HttpError) -> None:
        counters = self._node.counters
        # Judged by the header: a ticket that is no good never becomes `_ticket`.
        attaching = self._header is not None and TICKET in self._header.tlvs
        (counters.attach_refused if attaching else counters.refused)[str(error.status)] += 1
        self._answered = True
        self._buffer.clear()
        self._transport.write(error_response(error))
        self._node.lingering(self)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def expire(self) -> None:
        """The time for the head, or for leaving after an error, is over."""
        if self._answered:
            self._transport.abort()
        else:
            self._refuse(HttpError(408, f"no whole request head within {self._node.settings.head_timeout:g} seconds"))

    def abort(self) -> None:
        """End at once, without an answer."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended before a session was open."""
        self._node.left(self)
