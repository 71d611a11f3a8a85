"""The pump of one open session: bytes between its transport and its protocol, and nothing else."""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from flux_gateway.core.link import ToProxy
from flux_gateway.core.session import Session
from flux_gateway.gateway.counters import NodeCounters
from flux_gateway.gateway.settings import GatewaySettings


class Owner(Protocol):
    """What a connection needs of the node that holds it."""

    settings: GatewaySettings
    counters: NodeCounters

    def ending(self, connection: "Connection") -> None:
        """The last word is on its way; end the connection if the client does not leave in time."""

    def release(self, connection: "Connection") -> bool:
        """The stream ended as a move's barrier: hand the session to its proxy. Returns False if it stays."""

    def forget(self, connection: "Connection") -> None:
        """The connection is over."""


class Connection(asyncio.Protocol):
    """Receive -> session -> one write per burst. A client that does not read is not read from either."""

    __slots__ = (
        "_allowance", "_direct", "_node", "blocked", "bucket", "held", "proxy", "proxy_id", "session", "transport",
    )  # fmt: skip

    def __init__(self, node: Owner, transport: asyncio.Transport, session: Session, proxy_id: str = "") -> None:
        self._node = node
        self.transport = transport
        self.session = session
        self.proxy_id = proxy_id
        """The proxy that can move this session if it has a link; empty for a client that came without one."""
        self.proxy: Callable[[ToProxy], None] | None = None
        """While the session is detaching: how its proxy is told what became of it."""
        self.blocked = False
        """The client does not take what waits for it."""
        self._direct = -1
        """The socket, to write to past the transport; -1 when something waits there, or the end has begun. No transport
        closes its socket before `connection_lost`, so the number cannot be another connection's."""
        self._allowance = 0
        """Size of a large answer that is on its way: what waits behind it is judged without it."""
        self.held = False
        """The session's application has enough to do: no more is read until it has caught up."""
        self.bucket = 0
        """Place in the keepalive's wheel."""

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        session = self.session
        if session.ended:
            return  # lingering: what comes after the last word is dropped
        answer = session.receive(data)
        if answer:
            self._write(answer)
        if self.session.ended:
            self._finish()
        elif self.blocked:
            self._check_outbox()

    def _write(self, data: bytes) -> None:
        transport = self.transport
        transport.write(data)
        if transport.get_write_buffer_size():
            self._direct = -1

    def send(self, data: bytes) -> None:
        """Write frames that nobody asked for (pings, closes, publications)."""
        if not data:
            return
        if self._direct >= 0:
            # One publication goes to thousands: all that is looked at here is this object, and the kernel.
            try:
                sent = os.write(self._direct, data)
            except OSError:
                sent = 0  # the transport will see for itself
            if sent == len(data):
                return
            data = data[sent:]
        session, transport = self.session, self.transport
        if session.ended or not session.open or transport.is_closing():
            return
        # Judged by what waits already: one large answer is no fault of its client.
        if self.blocked and self._check_outbox():
            return
        if len(data) > self._node.settings.outbox_limit:
            self._allowance += len(data)
        self._write(data)
        if not transport.get_write_buffer_size():
            self._direct = transport.get_extra_info("socket").fileno()

    def pause_writing(self) -> None:
        """The client does not keep up: stop taking more from it until it has read."""
        self.blocked = True
        if not self.session.ended:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.blocked = False
        self._allowance = 0
        if not self.held and not self.transport.is_closing():
            self.transport.resume_reading()
        if self.session.application is not None:
            self.session.application.resume()

    def hold(self) -> None:
        """Read no more from the client for the moment."""
        self.held = True
        if not self.session.ended:
            self.transport.pause_reading()

    def unhold(self) -> None:
        """Read on."""
        self.held = False
        if not self.blocked and not self.transport.is_closing():
            self.transport.resume_reading()

    def _check_outbox(self) -> bool:
        """Close a client for which too much waits; returns whether that was so."""
        waiting = self.transport.get_write_buffer_size() - self._allowance
        if waiting > self._node.settings.outbox_limit and self.session.open:
            self._node.counters.overflows += 1
            self.close(1008, f"slow client: more than {self._node.settings.outbox_limit} bytes waiting")
            return True
        return False

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the node ends the connection if the client does not answer in time."""
        data = self.session.close(code, reason)
        self._direct = -1
        if data:
            self.transport.write(data)
            self._node.ending(self)

    def _finish(self) -> None:
        """Both sides have said their last word, or the client broke the protocol."""
        self._direct = -1
        self._node.ending(self)
        if self.transport.can_write_eof():
            # Half-close and wait for the client's end: closing with unread bytes would reset the connection and
            # could destroy the close frame on its way.
            self.transport.write_eof()
        self.transport.resume_reading()

    def eof_received(self) -> bool:
        """The client half-closed or is gone, or this is a move's barrier; what is left to write still goes out.

        Returns whether the transport stays open for the moment.
        """
        application = self.session.application
        if self.proxy is not None and application is not None and application.finish(self._leave):
            return True
        self._end_of_stream()
        return False

    def _leave(self) -> None:
        """The application has finished what it was at when the barrier came."""
        self._end_of_stream()
        self.transport.close()

    def _end_of_stream(self) -> None:
        self._direct = -1
        if self.proxy is None or not self._node.release(self):
            self.session.eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over, for whatever reason."""
        self._direct = -1
        self._node.forget(self)
