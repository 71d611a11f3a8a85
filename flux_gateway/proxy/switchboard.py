"""The switchboard: every connection a proxy holds, from accept to close, with its deadlines and its accounts."""

import asyncio
import logging
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

from flux_gateway.core.affinity import AffinityNames
from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.errors import HttpError
from flux_gateway.core.http_head import error_response
from flux_gateway.core.liveness import LinkState
from flux_gateway.proxy.attach import Attach
from flux_gateway.proxy.counters import ProxyCounters
from flux_gateway.proxy.keeping import Keeping
from flux_gateway.proxy.kept import Untracked
from flux_gateway.proxy.lingering import Lingering
from flux_gateway.proxy.moves import Moves
from flux_gateway.proxy.nodes import Node, node_of
from flux_gateway.proxy.opening import Opening
from flux_gateway.proxy.plain import PlainRelay
from flux_gateway.proxy.relay import NODE_LOST, RESTARTING, Relay
from flux_gateway.proxy.router import Router
from flux_gateway.proxy.session_log import SessionLog
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.runtime import tcp
from flux_gateway.runtime.poller import IN, Handler, Poller

log = logging.getLogger(__name__)

_SWEEP = 0.1
"""Seconds between two looks at the deadlines."""

_SPARE_FILES = 256
"""Open files kept back for Redis, links, admin and logs."""


class Switchboard:
    """Owns the poller and all sockets. Connections move through it: opening -> relay -> lingering -> gone."""

    def __init__(self, settings: ProxySettings, router: Router, counters: ProxyCounters, secret: bytes = b"") -> None:
        """`secret` signs the tickets of sessions that move; without it none does."""
        self.settings = settings
        self.counters = counters
        self.affinity = AffinityNames(settings.query_name, settings.header_name.lower(), settings.cookie_name)
        self._router = router
        self._loop = asyncio.get_running_loop()
        self.empty = asyncio.Event()
        """Set while there is no client."""
        self.empty.set()
        self.poller = Poller(self._loop, self._handler_failed)
        self._heads: Deadlines[Opening] = Deadlines(settings.head_timeout)
        self._dials: Deadlines[Opening] = Deadlines(settings.dial_timeout)
        self._answers: Deadlines[Opening] = Deadlines(settings.answer_timeout)
        self._flushing: Deadlines[Relay] = Deadlines(settings.close_timeout)
        """Relays whose node is done, since their client took something last. They are looked at when time is over."""
        self._lingering: Deadlines[Lingering] = Deadlines(settings.close_timeout)
        self._per_ip: Counter[str] = Counter()
        self._unlimited = settings.unlimited()
        self._session_log = SessionLog() if settings.log_sessions else None
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._capacity = settings.max_connections or max(1, (files - _SPARE_FILES) // 2)
        self.moves = Moves(self, router, secret)
        self.keeping = Keeping(self, settings.keeper) if settings.keeper else None
        self._handing_over = False
        """Another process is about to go on with the relays: nothing may touch them here."""
        self._timer = self._loop.call_later(_SWEEP, self._sweep)
        router.on_lost(self._node_lost)

    # A new client.

    def admit(self, client: socket.socket, address: tuple[str, int]) -> None:
        """Take a freshly accepted client connection."""
        counters, ip = self.counters, address[0]
        counters.accepted += 1
        counters.connections += 1
        self.empty.clear()
        self._per_ip[ip] += 1
        opening = Opening(self, client, address)
        self.poller.register(client.fileno(), IN, opening.on_client)
        if counters.connections > self._capacity:
            opening.refuse(HttpError(503, "this proxy is full", [("Retry-After", "5")]))
        elif self._over_limit(ip):
            limit = self.settings.max_connections_per_ip
            opening.refuse(HttpError(429, f"more than {limit} connections from one address", [("Retry-After", "5")]))
        else:
            self._heads.add(opening, self._loop.time())

    def _over_limit(self, ip: str) -> bool:
        limit = self.settings.max_connections_per_ip
        if not limit or self._per_ip[ip] <= limit:
            return False
        return not any(ip_address(ip) in network for network in self._unlimited)

    def targets(self, slot: int) -> Iterator[Node]:
        """Yield the nodes to dial for a slot, best first."""
        return self._router.targets(slot)

    # An opening takes its steps.

    def head_complete(self, opening: Opening) -> None:
        """The request head has arrived."""
        self._heads.discard(opening)

    def dialing(self, opening: Opening) -> None:
        """A connection to a node has been started."""
        self._answers.discard(opening)
        self._dials.add(opening, self._loop.time())

    def awaiting_answer(self, opening: Opening) -> None:
        """The node is connected and has been sent the handshake."""
        self._dials.discard(opening)
        self._answers.add(opening, self._loop.time())

    def dial_failed(self, node: Node, failure: str) -> None:
        """A node was left before it answered, because of `failure`."""
        log.debug("dial failed: %s %s", node.id, failure)

    def connected(self, opening: Opening, node: Node, relay: Relay) -> None:
        """A node has answered."""
        self._forget_deadlines(opening)
        node.relays[relay] = None
        if opening.plain:
            self.counters.requests[opening.path] += 1
        else:
            node.opened += 1
            self.counters.opened += 1
        if self._session_log is not None:
            self._session_log.opened(opening, node, relay)
        self.poller.replace(relay.client.fileno(), relay.on_client)
        self.poller.replace(relay.backend.fileno(), relay.on_backend)

    def started(self, relay: Relay, node: Node) -> None:
        """A relay goes on, with a node that is new to it: from here on the keeper can hold it."""
        if self.keeping is not None and relay in node.relays:
            self.keeping.deposit(relay, node)

    def refuse(self, opening: Opening, error: HttpError) -> None:
        """Answer the client with an HTTP error."""
        self.counters.refused[str(error.status)] += 1
        self._forget_deadlines(opening)
        try:
            opening.client.send(error_response(error))
        except OSError:
            self._close_client(opening)
            return
        self.linger(opening)

    def abandon(self, opening: Opening, reason: str) -> None:
        """The client left before a node answered."""
        self.counters.refused[reason] += 1
        self._forget_deadlines(opening)
        self._close_client(opening)

    def _forget_deadlines(self, opening: Opening) -> None:
        for deadlines in (self._heads, self._dials, self._answers):
            deadlines.discard(opening)

    # A relay ends.

    def leave_node(self, relay: Relay, cause: str) -> None:
        """Nothing goes to or comes from the node any more."""
        if node_of(relay).relays.pop(relay, relay) is relay:
            return
        self.moves.ended(relay)
        self.counters.closed[cause] += 1
        if self._session_log is not None:
            self._session_log.ended(relay, cause)
        self.poller.unregister(relay.backend.fileno())
        tcp.end(relay.backend)
        if self.keeping is not None:
            self.keeping.withdraw(relay)

    def end(self, relay: Relay, cause: str) -> None:
        """End both sides at once."""
        self.leave_node(relay, cause)
        self._close_client(relay)

    def orphaned(self, relay: Relay) -> None:
        """The node is gone without a word, and its connection is closed: find another one, or give up."""
        self.moves.orphaned(relay, node_of(relay))

    def relocated(self, relay: Relay, source: Node, node: Node) -> None:
        """A session goes on at another node."""
        source.relays.pop(relay, None)
        node.relays[relay] = None
        if self._session_log is not None:
            self._session_log.moved(relay, source, node)

    def flushing(self, relay: Relay) -> None:
        """The node is done, and bytes wait for the client: it gets a moment to take some of them."""
        self._flushing.add(relay, self._loop.time())

    def linger(self, holder: Opening | Relay) -> None:
        """Everything for the client has been sent: half-close, and wait for it to leave."""
        fd = holder.client.fileno()
        try:
            holder.client.shutdown(socket.SHUT_WR)
        except OSError:
            self._close_client(holder)
            return
        lingering = Lingering(self, holder.client, holder.client_ip)
        self.poller.replace(fd, lingering.on_client)
        self.poller.modify(fd, IN)
        self._lingering.add(lingering, self._loop.time())

    def hang_up(self, lingering: Lingering) -> None:
        """A lingering client has left, or its time is over."""
        self._lingering.discard(lingering)
        self._close_client(lingering)

    def _close_client(self, holder: Opening | Relay | Lingering) -> None:
        if holder.client.fileno() < 0:
            return
        self.poller.unregister(holder.client.fileno())
        tcp.end(holder.client)
        self.counters.connections -= 1
        if not self.counters.connections:
            self.empty.set()
        self._per_ip[holder.client_ip] -= 1
        if not self._per_ip[holder.client_ip]:
            del self._per_ip[holder.client_ip]

    # What happens to many at once.

    def _node_lost(self, node: Node, dead: bool) -> None:
        """A link fell: handshakes waiting there go elsewhere; when the node is dead, its clients are let go too."""
        for waiting in (self._dials, self._answers):
            for opening in [opening for opening in waiting if opening.node is node]:
                opening.retry("link lost")
        if dead and not self._handing_over:
            for relay in list(node.relays):
                relay.give_up(NODE_LOST, "node dead")

    def _sweep(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(_SWEEP, self._sweep)
        for deadlines in (self._heads, self._dials, self._answers):
            for opening in deadlines.expired(now):
                opening.expire()
        for lingering in self._lingering.expired(now):
            self.hang_up(lingering)
        if not self._handing_over:
            self._end_stuck(now)
            self._end_silent(now)
            self.moves.sweep()

    def _end_stuck(self, now: float) -> None:
        for relay in self._flushing.expired(now):
            if relay.stuck:
                self.end(relay, "slow client" if relay.to_client else "client left")

    def _end_silent(self, now: float) -> None:
        """End the plain HTTP of nodes that have not been heard for too long, if others can serve its clients.

        What can move, the moves care for.
        """
        if not self._router.usable():
            return
        for node in self._router.nodes.values():
            if node.health.state is LinkState.UP or node.silence(now) < self.settings.link_silence:
                continue
            for relay in [relay for relay in node.relays if isinstance(relay, PlainRelay)]:
                relay.give_up(NODE_LOST, "node silent")

    def _handler_failed(self, fd: int, handler: Handler, error: Exception) -> None:
        """A handler raised: give up that connection alone. The poller has logged it."""
        owner = getattr(handler, "__self__", None)
        self.counters.closed["internal error"] += 1
        if isinstance(owner, Relay):
            self.end(owner, "internal error")
        elif isinstance(owner, Opening):
            owner.abandon("internal error")
        elif isinstance(owner, Lingering):
            self.hang_up(owner)
        elif isinstance(owner, Attach):
            owner.expire()

    # The process before, and the one after.

    def take_over(self, relay: Relay, node: Node) -> None:
        """A connection of the process before goes on in this one."""
        self.counters.connections += 1
        self.empty.clear()
        self._per_ip[relay.client_ip] += 1
        node.relays[relay] = None
        if isinstance(relay.up, Untracked):
            self.moves.track(relay)
        self._watch(relay)

    def _watch(self, relay: Relay) -> None:
        self.poller.register(relay.client.fileno(), 0, relay.on_client)
        self.poller.register(relay.backend.fileno(), 0, relay.on_backend)
        relay.watch()

    async def quiesce(self, seconds: float) -> list[Relay]:
        """Let handshakes and moves come to their end, at most so long; then touch no relay any more.

        Returns the relays that another process can go on with. The clients of all others are let go.
        """
        until = self._loop.time() + seconds
        await self.moves.settle(seconds)
        while (self._heads or self._dials or self._answers) and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_SWEEP / 5)  # each ends by a call from the poller or from the sweep
        able = []
        self._handing_over = True
        for relay in self.relays():
            if relay.up is None or relay.move is not None or relay.ending:
                relay.give_up(RESTARTING, "proxy restarting")
            else:
                self.poller.unregister(relay.client.fileno())
                self.poller.unregister(relay.backend.fileno())
                able.append(relay)
        return able

    def watch_again(self, relays: list[Relay]) -> None:
        """Nobody goes on with these relays after all: they are this process' again."""
        self._handing_over = False
        for relay in relays:
            if self.keeping is not None:
                # Anew, so that no process ever goes on from the state that was handed over: it is old from here on.
                self.keeping.deposit(relay, node_of(relay))
            self._watch(relay)

    def leave(self, relays: list[Relay]) -> None:
        """Let go of relays that the keeper holds: their connections stay open."""
        for relay in relays:
            node_of(relay).relays.pop(relay, None)
            relay.client.close()
            relay.backend.close()
            self.counters.connections -= 1

    def relays(self) -> list[Relay]:
        """Return every relayed connection."""
        return [relay for node in self._router.nodes.values() for relay in node.relays]

    def close(self) -> None:
        """Cut everything that is left."""
        self._timer.cancel()
        for relay in self.relays():
            self.end(relay, "proxy stopped")
        self._end_stuck(float("inf"))
        for deadlines in (self._heads, self._dials, self._answers):
            for opening in list(deadlines.expired(float("inf"))):
                opening.abandon("proxy stopped")
        for lingering in list(self._lingering.expired(float("inf"))):
            self.hang_up(lingering)
        self.poller.close()
