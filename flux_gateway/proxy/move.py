"""One session on its way from one node to another (design, section 7).

A planned move: the client is not read any more, the node's stream is ended and read to its end, the node hands the
session over the link, another node thaws it, the client is read again. A reattach begins where the node has gone
without a word: the state is what this proxy knows itself.
"""

import socket
from collections.abc import Iterator
from typing import Protocol

from flux_gateway.core import frozen
from flux_gateway.core.frozen import Frozen
from flux_gateway.proxy import attach
from flux_gateway.proxy.attach import Attach
from flux_gateway.proxy.move_figures import MOVE, REATTACH
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.relay import NODE_LOST, Relay


class Owner(attach.Owner, Protocol):
    """What a move needs of those who run it."""

    def now(self) -> float:
        """Monotonic seconds."""

    def takers(self, move: "Move") -> Iterator[Node]:
        """Yield the nodes that may take the session, best first."""

    def homeless(self, move: "Move") -> None:
        """The old node does not count any more: the move gets the time of a reattach."""

    def retry_later(self, move: "Move") -> None:
        """No node has taken the session: call `again` in a moment; any node will do then."""

    def rest(self, move: "Move") -> None:
        """Call `again` in a moment."""

    def moved(self, move: "Move", node: Node) -> None:
        """The session goes on at a node."""

    def resumed(self, relay: Relay, node: Node) -> None:
        """The client is read again."""

    def failed(self, move: "Move", cause: str) -> None:
        """The session could not be brought anywhere; its client has been let go."""


class Move:
    """One transfer. It begins with `begin` (planned) or `adopt` (the node is gone)."""

    __slots__ = (
        "_attach", "_drained", "_owner", "_refused", "_state", "_taken", "_unlinked", "planned", "reason", "relay",
        "residual", "source", "started_at", "target",
    )  # fmt: skip

    def __init__(self, owner: Owner, relay: Relay, source: Node, reason: str, target: Node | None = None) -> None:
        self._owner = owner
        self.relay = relay
        self.source = source
        self.reason = reason
        self.target = target
        """Where it should go, if that is not for its slot to say."""
        self.planned = reason == MOVE
        self.started_at = 0.0
        """When the client's pause began, monotonic seconds; 0 as long as it has not."""
        self.residual = b""
        self._state = b""
        self._attach: Attach | None = None
        self._taken: tuple[Node, socket.socket, bytes] | None = None
        self._drained = False
        self._unlinked = False
        self._refused = ""

    # The old node.

    def begin(self) -> None:
        """The node has agreed: end the stream towards it."""
        self.started_at = self._owner.now()
        self.relay.leave(self)

    def adopt(self) -> None:
        """The node is gone, or silent for too long: go on without it."""
        self.started_at = self.started_at or self._owner.now()
        self._drained = True
        self.reason = REATTACH
        self._owner.homeless(self)
        self.relay.hold(self)
        self._seek(self._known_state())

    def _known_state(self) -> bytes:
        relay = self.relay
        known = Frozen(
            session=relay.session_id,
            path=relay.origin.path,
            connected_at=relay.opened_at,
            moves=relay.moves,
            extensions=relay.origin.extensions,
        )
        return frozen.encode(known)

    def released(self, state: bytes, residual: bytes) -> None:
        """The old node has handed the session over."""
        if self.started_at and not self._state:
            self.residual = residual
            self._seek(state)

    def refused(self, why: str) -> None:
        """The old node cannot hand the session over after all; its stream tells how it ends."""
        self._refused = why
        if self._drained and not self._state:
            self.fail(why)

    def drained(self) -> None:
        """Everything the old node had to say has been read."""
        self._drained = True
        if self._refused:
            self.fail(self._refused)
        elif self._unlinked and not self._state:
            self._go_on_without()
        else:
            self._complete()

    def unlinked(self) -> None:
        """The link to the old node has ended: what it has not handed over by now it never will."""
        self._unlinked = True
        if self._drained and not self._state:
            self._go_on_without()

    def backend_lost(self) -> None:
        """The old node's connection broke within the move."""
        if self._state and self.relay.down is not None and not self.relay.down.rest:
            self.drained()
        else:
            self._go_on_without()

    def expire(self) -> None:
        """The move takes too long."""
        if self._drained and self._state:
            self.fail("no node")
        elif self._state or self.relay.to_client:
            # The old node has more to say, as a rule held up by a client that does not read: to go on would lose that.
            self.fail("slow client")
        else:
            self._go_on_without()

    def silent(self) -> None:
        """The old node has not been heard for too long: as if its connection had broken."""
        self.relay.hold(self)
        self.backend_lost()

    def _go_on_without(self) -> None:
        if self.relay.between_messages:
            self.adopt()
        else:
            self.fail("node lost in mid-frame")

    # The new node.

    def _seek(self, state: bytes) -> None:
        self._state = state
        self.again()

    def again(self) -> None:
        """Ask the nodes, best first."""
        if not self._state:
            self.adopt()
            return
        self._attach = Attach(self._owner, self.relay, self, self._owner.takers(self), self.reason, self._state)
        self._attach.next()

    def attached(self, node: Node, backend: socket.socket, said: bytes) -> None:
        """A node has the session."""
        self._attach = None
        self._taken = (node, backend, said)
        if self._drained:
            self._complete()
        else:
            # Nothing of the new node may reach the client before the last of the old one.
            self._owner.poller.modify(backend.fileno(), 0)
            self._owner.poller.replace(backend.fileno(), self._on_taken)

    def _on_taken(self, events: int) -> None:
        """The new node's connection broke before the session could go on there: ask anew."""
        self._let_taken_go()
        self._owner.rest(self)

    def exhausted(self) -> None:
        """No node has taken the session."""
        self._attach = None
        self._owner.retry_later(self)

    def _complete(self) -> None:
        if self._taken is None or not self._drained:
            return
        (node, backend, said), self._taken = self._taken, None
        self._owner.moved(self, node)
        self.relay.resume(node, backend, self.residual, said)
        self._owner.resumed(self.relay, node)

    # The end without a node.

    def fail(self, cause: str) -> None:
        """Give the session up: its client gets a close frame wherever that is possible."""
        self.cancel()
        self._owner.failed(self, cause)
        self.relay.move = None
        self.relay.give_up(NODE_LOST, f"{self.reason} failed: {cause}")

    def cancel(self) -> None:
        """Let go of the node that was being asked, or that had the session already."""
        if self._attach is not None:
            self._attach.cancel()
            self._attach = None
        self._let_taken_go()

    def _let_taken_go(self) -> None:
        if self._taken is not None:
            _, backend, _ = self._taken
            self._taken = None
            self._owner.poller.unregister(backend.fileno())
            backend.close()
