"""The node: its state, its connections, and who may join them."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from flux_gateway import __version__
from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.errors import HttpError
from flux_gateway.core.lifecycle import TAKES_SESSIONS, NodeState, advance
from flux_gateway.gateway import session_log
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.counters import NodeCounters
from flux_gateway.gateway.endpoints import Plain, Stateful, endpoints
from flux_gateway.gateway.handshake import Handshake
from flux_gateway.gateway.keepalive import Keepalive
from flux_gateway.gateway.moves import Moves
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.runtime import tcp
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

StateListener = Callable[[NodeState, NodeState, str], None]
"""Called with (before, after, detail) at every change of state."""

_STALL = 1.0
"""Seconds by which the event loop must have been late for pongs to lie unread."""

_SWEEP = 0.25
"""Seconds between two looks at the deadlines."""


class Node:
    """One gateway process. Owns every connection from accept to close."""

    def __init__(self, settings: GatewaySettings, secret: bytes = b"") -> None:
        self.settings = settings
        self.secret = secret
        """Signs the tickets of sessions that come from other nodes; empty: none may come."""
        self.state = NodeState.STARTING
        self.counters = NodeCounters()
        self.endpoints = endpoints(settings.id)
        self.stateful: dict[str, Stateful] = {}
        """Further endpoints by path, whose sessions have a state of their own."""
        self.plain: dict[str, Plain] = {}
        """Paths that are served to plain HTTP, and to nothing else."""
        self.trusted_networks = settings.trusted_networks()
        self.connections: dict[Connection, None] = {}
        self._leaving: set[Connection] = set()
        """Connections of sessions that have left, until the last bytes for their clients are out."""
        self.moves = Moves(self)
        self.empty = asyncio.Event()
        """Set while there is no session, and nothing on its way to the client of one that has left."""
        self.empty.set()
        self.handshakes: Deadlines[Handshake] = Deadlines(settings.head_timeout)
        self.closing: Deadlines[Connection | Handshake] = Deadlines(settings.close_timeout)
        self.started_at = time.time()
        self._listeners: list[StateListener] = []
        self._wheels: list[Keepalive] = []
        self._keepalive = self.wheel(settings.ping_interval, settings.ping_timeout)
        self._loop = asyncio.get_running_loop()
        self._forgiving_until = 0.0
        self.proxy_away: Callable[[str], bool] = lambda proxy_id: False
        """Tells of a proxy, by its id, whether it has just lost its link and may come back: it cannot bring pongs."""
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._server: asyncio.Server | None = None

    # Time and names.

    def now(self) -> float:
        """Monotonic seconds, for deadlines."""
        return self._loop.time()

    def wall_clock(self) -> float:
        """Unix seconds, for people."""
        return time.time()

    def new_session_id(self) -> str:
        """Return an id for a client that came without a proxy."""
        return uuid.uuid4().hex

    def wheel(self, interval: float, timeout: float) -> Keepalive:
        """Return a wheel that is turned as long as the node listens. Call it before that."""
        wheel = Keepalive(interval, timeout)
        self._wheels.append(wheel)
        return wheel

    # State.

    def on_change(self, listener: StateListener) -> None:
        """Call the listener at every change of state."""
        self._listeners.append(listener)

    def enter(self, state: NodeState, detail: str = "") -> None:
        """Go to another state. Raises `IllegalTransition`."""
        before, self.state = self.state, advance(self.state, state)
        log.info("state", extra=fields(state=state, before=before, sessions=len(self.connections), detail=detail))
        for listener in self._listeners:
            listener(before, state, detail)

    async def listen(self) -> None:
        """Accept connections. Raises OSError when the address is taken."""
        listener = tcp.listener(self.settings.host, self.settings.port, self.settings.backlog)
        # It listens anew on the socket, by default with a backlog of only 100.
        self._server = await self._loop.create_server(
            lambda: Handshake(self), sock=listener, backlog=self.settings.backlog
        )
        self.every(_SWEEP, self._sweep)
        for wheel in self._wheels:
            wheel.turned_at = self.now()
            self.every(wheel.step_seconds, partial(self._turn, wheel))

    async def close(self) -> None:
        """Stop listening and cut what is still connected."""
        for timer in self._timers.values():
            timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in [*self.connections, *self._leaving]:
            connection.transport.abort()
        for handshake in list(self.handshakes.expired(float("inf"))):
            handshake.abort()
        for plain in self.plain.values():
            plain.close()
        if self._server is not None:
            await self._server.wait_closed()

    # Connections: arrived -> opened -> forgotten, or arrived -> left.

    def arrived(self, handshake: Handshake) -> None:
        """A TCP connection was accepted."""
        self.counters.accepted += 1
        self.handshakes.add(handshake, self.now())

    def check_admission(self) -> None:
        """Raise `HttpError` 503 when no new session may start here. A proxy then asks the next node."""
        if self.state not in TAKES_SESSIONS:
            raise HttpError(503, f"node {self.settings.id} is {self.state}", [("Retry-After", "1")])
        if len(self.connections) >= self.settings.max_connections:
            raise HttpError(503, f"node {self.settings.id} is full", [("Retry-After", "5")])

    def opened(self, handshake: Handshake, connection: Connection) -> None:
        """A handshake became a session."""
        self.handshakes.discard(handshake)
        self.counters.opened += 1
        self._hold(connection)

    def joined(self, connection: Connection) -> None:
        """A client that came by plain HTTP is held like one with a WebSocket."""
        self.counters.opened += 1
        self._hold(connection)

    def attached(self, handshake: Handshake, connection: Connection, reason: str) -> None:
        """A session has come from another node."""
        self.handshakes.discard(handshake)
        self.counters.attached[reason] += 1
        self._hold(connection)

    def _hold(self, connection: Connection) -> None:
        self.connections[connection] = None
        self.moves.add(connection)
        self.empty.clear()
        if connection.session.application is None:
            self._keepalive.add(connection)

    def release(self, connection: Connection) -> bool:
        """The stream ended as a move's barrier: hand the session to its proxy. Returns False if it stays."""
        return self.moves.release(connection)

    def let_go(self, connection: Connection) -> None:
        """The session goes on elsewhere: forget it, but do not count it as closed.

        What its client is still to hear from here goes out, if it is taken within the time for a close.
        """
        self._leaving.add(connection)
        self._take_out(connection)
        self.closing.add(connection, self.now())
        if self.settings.log_sessions:
            session_log.released(connection.session, self.settings.id)

    def _take_out(self, connection: Connection) -> None:
        del self.connections[connection]
        self._note_empty()
        self.moves.discard(connection)
        self._keepalive.discard(connection)
        self.closing.discard(connection)

    def _note_empty(self) -> None:
        if not self.connections and not self._leaving:
            self.empty.set()

    def left(self, handshake: Handshake) -> None:
        """A connection ended before it became a session."""
        self.handshakes.discard(handshake)
        self.closing.discard(handshake)

    def lingering(self, handshake: Handshake) -> None:
        """A handshake was refused; the client gets a moment to read why."""
        self.handshakes.discard(handshake)
        self.closing.add(handshake, self.now())

    def ending(self, connection: Connection) -> None:
        """The last word to a client is on its way; it gets a moment to leave."""
        self.closing.add(connection, self.now())

    def forget(self, connection: Connection) -> None:
        """A session's connection ended."""
        if connection in self._leaving:
            self._leaving.discard(connection)
            self.closing.discard(connection)
            self._note_empty()
            return
        self._take_out(connection)
        if connection.session.application is not None:
            connection.session.application.lost()
        code, by = connection.session.outcome()
        self.counters.closed[str(code), by] += 1
        if self.settings.log_sessions:
            session_log.ended(connection.session, self.settings.id)

    def log_refusal(self, what: str, peer: str, why: str) -> None:
        """Note a refused connection in the log."""
        log.warning(what, extra=fields(peer=peer, why=why))

    # Periodic work.

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Do the work every so many seconds, until the node is closed."""

        def run() -> None:
            due = timer_due[0] = max(timer_due[0] + seconds, self.now())
            self._timers[work] = self._loop.call_at(due, run)
            work()

        timer_due = [self.now() + seconds]
        self._timers[work] = self._loop.call_at(timer_due[0], run)

    def _sweep(self) -> None:
        now = self.now()
        self.moves.expire(now)
        for handshake in self.handshakes.expired(now):
            handshake.expire()
        for late in self.closing.expired(now):
            if isinstance(late, Handshake):
                late.abort()
            else:
                late.transport.abort()

    def forgive(self) -> None:
        """This node was cut off or stood still: for one ping timeout, missing pongs are no client's fault."""
        self._forgiving_until = self.now() + self.settings.ping_timeout

    def _turn(self, wheel: Keepalive) -> None:
        if self.now() - wheel.turned_at > wheel.step_seconds + _STALL:
            self.forgive()
        wheel.turned_at = self.now()
        forgiving = self.now() < self._forgiving_until
        for connection in wheel.turn():
            if forgiving or self.proxy_away(connection.proxy_id):
                connection.send(connection.session.ping())
            elif connection.held:
                pass  # it is not read from, so its pong may be there
            elif connection.session.open:
                self.counters.ping_timeouts += 1
                connection.close(1011, "keepalive ping timeout")
            elif connection not in self.closing:
                connection.transport.abort()

    # For the admin server.

    def info(self) -> dict[str, Any]:
        """Public facts about this node."""
        return {
            "id": self.settings.id,
            "state": self.state,
            "version": __version__,
            "host": self.settings.host,
            "port": self.settings.port,
            "admin_port": self.settings.admin_port,
            "connections": len(self.connections),
            "started_at": self.started_at,
            "drain_timeout": self.settings.drain_timeout,
        }
