"""All moves of a proxy: which sessions are asked for, how many are under way, and what became of them.

Three stages, so that a client's pause holds none of the waiting: *asked* (the node was told to expect it; the client
notices nothing), *ready* (the node has agreed; the session waits for its turn), *under way* (the pause).
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.link import Detach, Detaching, Drop, Refused, Released, ToProxy
from flux_gateway.core.liveness import LinkState
from flux_gateway.core.timeline import EventKind
from flux_gateway.proxy.attach import Attach
from flux_gateway.proxy.departures import Departures
from flux_gateway.proxy.move import Move
from flux_gateway.proxy.move_figures import MOVE, REATTACH, MoveFigures
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.relay import NODE_LOST, Relay
from flux_gateway.proxy.router import Router
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.poller import Poller

log = logging.getLogger(__name__)

_ASKED = 2.0
"""Seconds for a node to say whether a session can move, and for a session that can to have its turn."""

_AGAIN = 0.1
"""Seconds until the nodes are asked again when none has taken a session."""

_REFUSED = 1.0
"""Seconds until a session is asked for again that could not move."""

_SETTLED = 1.0
"""Seconds after which a session is taken to have come well to its node."""

_AHEAD = 4
"""Sessions asked for ahead of their turn, for each that may be under way."""

_AT_ONCE = 1000
"""Sessions in one message to a node, which takes messages of 64 KiB."""


class Owner(Protocol):
    """What the moves need of the switchboard."""

    settings: ProxySettings
    poller: Poller

    def relocated(self, relay: Relay, source: Node, node: Node) -> None:
        """A session goes on at another node."""

    def started(self, relay: Relay, node: Node) -> None:
        """A relay goes on, with a node that is new to it."""


class Moves:
    """Starts moves and carries them through."""

    def __init__(self, board: Owner, router: Router, secret: bytes) -> None:
        self._board, self._router = board, router
        self.settings, self.poller = board.settings, board.poller
        self.secret = secret
        self._untracked: defaultdict[str, dict[Relay, None]] = defaultdict(dict)
        """By node id, relays of which it is not known where their frames begin."""
        self._held = False
        self.figures = MoveFigures()
        self.departures = Departures()
        self.tell: Callable[[EventKind, str, str], None] = lambda kind, detail, node_id: None
        """Called with (kind, detail, node id) for the time line."""
        self._loop = asyncio.get_running_loop()
        self._asked: Deadlines[Move] = Deadlines(_ASKED)
        self._by_session: dict[str, Move] = {}
        """Every move in any stage."""
        self._ready: deque[Move] = deque()
        self._under_way: Deadlines[Move] = Deadlines(self.settings.move_timeout)
        self._seeking: Deadlines[Move] = Deadlines(self.settings.dead_after)
        """Moves whose session has no node. They have more patience: the next node may only be starting."""
        self._dialling: Deadlines[Attach] = Deadlines(self.settings.dial_timeout)
        self._resting: Deadlines[Move] = Deadlines(_AGAIN)
        self._waiting: dict[Move, None] = {}
        """Of those that seek a node, the ones that wait for their turn: all at once would be a storm."""
        self._fresh: Deadlines[Relay] = Deadlines(_SETTLED)
        """Relays that have come to their node only just now: one that takes sessions and drops them must not get them
        back a thousand times a second."""
        self._not_before: Deadlines[Relay] = Deadlines(_REFUSED)
        """Relays that could not move a moment ago."""

    def __len__(self) -> int:
        """How many sessions are asked for or under way."""
        return len(self._by_session)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    # Asking.

    def room(self) -> int:
        """Return how many more sessions may be asked for now."""
        limit = self.settings.move_concurrency * (1 + _AHEAD)
        return max(0, limit - len(self._by_session))

    def ask(self, relays: Iterable[Relay], source: Node, target: Node | None = None) -> int:
        """Ask the node for sessions that can move, as many as there is room for. Returns how many."""
        room = self.room()
        wanted: list[str] = []
        if source.say is None or self._held:
            return 0
        for relay in relays:
            if len(wanted) >= room:
                break
            if relay.movable and relay.session_id not in self._by_session and relay not in self._not_before:
                move = Move(self, relay, source, MOVE, target)
                self._by_session[relay.session_id] = move
                self._asked.add(move, self.now())
                wanted.append(relay.session_id)
                self.departures.begun(move, self.now())
        for at in range(0, len(wanted), _AT_ONCE):
            source.say(Detach(wanted[at : at + _AT_ONCE]))
        return len(wanted)

    def told(self, node: Node, message: ToProxy) -> None:
        """A node has spoken about sessions that move."""
        if isinstance(message, Detaching):
            for session_id in message.sessions:
                move = self._of(node, session_id)
                if move is not None and move in self._asked:
                    self._ready.append(move)
        elif isinstance(message, Refused):
            for session_id, why in message.sessions.items():
                move = self._of(node, session_id)
                if move is None:
                    continue
                if move.started_at:
                    move.refused(why)
                else:
                    self.figures.refused[why] += 1
                    self._not_before.add(move.relay, self.now())
                    self._forget(move)
        elif isinstance(message, Released):
            move = self._of(node, message.session)
            if move is not None:
                move.released(message.state, message.residual)
        self._proceed()

    def _of(self, node: Node, session_id: str) -> Move | None:
        move = self._by_session.get(session_id)
        return move if move is not None and move.source is node else None

    def _proceed(self) -> None:
        """Start what waits for its turn, as far as there is room."""
        busy = len(self._under_way) + len(self._seeking) - len(self._resting) - len(self._waiting)
        free = self.settings.move_concurrency - busy
        while free > 0 and (self._waiting or self._ready):
            if self._waiting:
                move = next(iter(self._waiting))
                del self._waiting[move]
                move.again()
                free -= 1
                continue
            move = self._ready.popleft()
            if move not in self._asked:
                continue
            self._asked.discard(move)
            linked = move.source.say is not None
            if not linked or not move.relay.movable or not self._has_taker(move) or self._held:
                self._forget(move)
                continue
            self._under_way.add(move, self.now())
            move.begin()
            free -= 1

    def _has_taker(self, move: Move) -> bool:
        return any(node is not move.source or node is move.target for node in self._router.usable())

    def track(self, relay: Relay) -> None:
        """Learn where this session's frames begin: it moves to the node it is on, with a fresh stream."""
        self._untracked[relay.node.id][relay] = None

    def _next(self) -> None:
        """A move has ended: others have their turn, and as many are asked for in time that nobody waits for a sweep."""
        self._proceed()
        if len(self._by_session) <= self.settings.move_concurrency * _AHEAD // 2:
            self._fill()

    def _fill(self) -> None:
        """Ask for what is waiting to move, as far as there is room."""
        self.evacuate()
        for node in self._router.usable():
            relays = self._untracked.get(node.id)
            if relays:
                self.ask(relays, node, node)

    async def settle(self, seconds: float) -> None:
        """Begin no more moves, and wait for those under way, at most so long."""
        self._held = True
        until = self.now() + seconds
        while (self._under_way or self._seeking) and self.now() < until:  # noqa: ASYNC110
            await asyncio.sleep(_AGAIN / 5)  # each ends by a call from the poller or from `sweep`

    # Reattaching.

    def orphaned(self, relay: Relay, source: Node) -> None:
        """A session's node is gone: bring it to another one, or let its client go."""
        if not self.secret or relay.client_eof or not relay.between_messages:
            relay.give_up(NODE_LOST, "node lost")
            return
        earlier = self._by_session.get(relay.session_id)
        if earlier is not None:
            self._forget(earlier)
        move = Move(self, relay, source, REATTACH)
        self._by_session[relay.session_id] = move
        move.started_at = self.now()
        self.departures.begun(move, move.started_at)
        relay.hold(move)
        self.homeless(move)
        if relay in self._fresh:
            self.rest(move)
        else:
            self._waiting[move] = None
        self._loop.call_soon(self._proceed)

    def _abandon_silent(self, now: float) -> None:
        """Take the sessions of nodes that have not been heard for too long, if others can have them."""
        usable = self._router.usable()
        for node in self._router.nodes.values():
            if not node.relays or node.health.state is LinkState.UP:
                continue
            if node.silence(now) < self.settings.link_silence or not usable:
                continue
            for relay in [relay for relay in node.relays if relay.up is not None and not relay.cut]:
                if relay.move is None:
                    self.orphaned(relay, node)
                else:
                    relay.move.silent()

    def connected(self, node: Node) -> None:
        """A link is open: the node hears which of its sessions were attached elsewhere meanwhile."""
        assert node.say is not None
        overtaken = list(node.overtaken.items())
        node.overtaken.clear()
        for at in range(0, len(overtaken), _AT_ONCE):
            node.say(Drop(dict(overtaken[at : at + _AT_ONCE])))

    def disconnected(self, node: Node) -> None:
        """What was agreed on over a link ends with it, and what it was to bring does not come any more."""
        for move in [move for move in self._asked if move.source is node]:
            self._forget(move)
        for move in [move for move in self._under_way if move.source is node]:
            move.unlinked()

    # What a move asks of its owner.

    def takers(self, move: Move) -> Iterator[Node]:
        """Yield the nodes that may take the session, best first."""
        if move.target is not None and move.target.usable:
            yield move.target
        for node in self._router.targets(move.relay.slot):
            if node.usable and node is not move.target and (node is not move.source or not move.planned):
                yield node

    def homeless(self, move: Move) -> None:
        """The old node does not count any more: the move gets the time of a reattach."""
        self._under_way.discard(move)
        if move not in self._seeking:
            self._seeking.add(move, self.now())

    def retry_later(self, move: Move) -> None:
        """No node has taken the session: ask again in a moment."""
        move.planned = False  # by now the old node is as good as any, if it takes sessions again
        self.homeless(move)
        self.rest(move)

    def rest(self, move: Move) -> None:
        """Ask again in a moment."""
        self._resting.add(move, self.now())

    def attaching(self, attach: Attach) -> None:
        """A node is being asked: it gets the time of a dial."""
        self._dialling.add(attach, self.now())

    def attach_over(self, attach: Attach) -> None:
        """No node is being asked any more."""
        self._dialling.discard(attach)

    def moved(self, move: Move, node: Node) -> None:
        """The session goes on at a node."""
        now = self.now()
        self._untracked[move.source.id].pop(move.relay, None)
        self._fresh.add(move.relay, now)
        self.departures.ended(move, True, now)
        self._forget(move)
        self.figures.moved(move.reason, now - move.started_at, now)
        if move.reason == REATTACH and node is not move.source:
            move.source.overtaken[move.relay.session_id] = move.relay.fence
        self._board.relocated(move.relay, move.source, node)
        self._loop.call_soon(self._next)

    def resumed(self, relay: Relay, node: Node) -> None:
        """The client is read again."""
        self._board.started(relay, node)

    def failed(self, move: Move, cause: str) -> None:
        """The session could not be brought anywhere."""
        self.departures.ended(move, False, self.now())
        self._forget(move)
        self.figures.failed[move.reason, cause] += 1
        log.warning(
            "session could not move",
            extra=fields(session=move.relay.session_id, node=move.source.id, reason=move.reason, cause=cause),
        )
        self._loop.call_soon(self._proceed)

    def ended(self, relay: Relay) -> None:
        """The client is gone, or is being let go."""
        self._untracked[relay.node.id].pop(relay, None)
        self._not_before.discard(relay)
        self._fresh.discard(relay)
        move = self._by_session.get(relay.session_id)
        if move is not None and move.relay is relay:
            self._forget(move)
            move.cancel()
            relay.move = None
            self._loop.call_soon(self._proceed)

    def _forget(self, move: Move) -> None:
        if self._by_session.get(move.relay.session_id) is move:
            del self._by_session[move.relay.session_id]
            self.departures.over(move)
        for deadlines in (self._asked, self._under_way, self._seeking, self._resting):
            deadlines.discard(move)
        self._waiting.pop(move, None)

    # Time.

    def sweep(self) -> None:
        """Look at the deadlines, at nodes that drain and at nodes that are silent. Call it often."""
        now = self.now()
        for attach in self._dialling.expired(now):
            attach.expire()
        self._waiting.update(dict.fromkeys(self._resting.expired(now)))
        for move in self._asked.expired(now):
            self.figures.refused["no answer"] += 1
            self._forget(move)
        for relays in (self._not_before, self._fresh):
            for _ in relays.expired(now):
                pass
        for deadlines in (self._under_way, self._seeking):
            for move in deadlines.expired(now):
                move.expire()
        self._abandon_silent(now)
        self._proceed()
        self._fill()
        for kind, detail, node_id in self.departures.complete(now):
            log.info("sessions left a node", extra=fields(node=node_id, kind=kind, detail=detail))
            self.tell(kind, detail, node_id)

    def evacuate(self) -> None:
        """Ask draining nodes for their sessions, as far as there is room."""
        for node in self._router.nodes.values():
            if node.state is NodeState.DRAINING and node.relays and self._router.usable():
                self.ask(node.relays, node)
