"""Attaching a session to a node: dial, ticket, answer, next rank (design, sections 6 and 7)."""

import socket
import time
from collections.abc import Iterator
from typing import Protocol

from flux_gateway.core import proxy_protocol, ticket
from flux_gateway.core.http_head import response_status
from flux_gateway.core.ticket import Ticket
from flux_gateway.proxy.dial import Dial
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.relay import Relay
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.runtime.poller import IN, OUT, Poller

_LIFE = 30.0
"""Seconds that a ticket is good for. Clocks of hosts may differ by a few of them."""

_ANSWER_LIMIT = 16_384


class Owner(Protocol):
    """What an attach needs of the switchboard."""

    settings: ProxySettings
    poller: Poller
    secret: bytes

    def attaching(self, attach: "Attach") -> None:
        """A node is being asked: it gets the time of a dial and an answer."""

    def attach_over(self, attach: "Attach") -> None:
        """No node is being asked any more."""


class Wanted(Protocol):
    """Who waits for the attach."""

    def attached(self, node: Node, backend: socket.socket, said: bytes) -> None:
        """The node has the session; `said` is what it has sent after its answer. The backend is registered for IN."""

    def exhausted(self) -> None:
        """No node has taken the session."""


class Attach:
    """Asks one node after another to take a session."""

    __slots__ = ("_answer", "_board", "_dial", "_out", "_reason", "_relay", "_state", "_targets", "_wanted")

    def __init__(
        self, board: Owner, relay: Relay, wanted: Wanted, targets: Iterator[Node], reason: str, state: bytes
    ) -> None:
        self._board = board
        self._relay = relay
        self._wanted = wanted
        self._targets = targets
        self._reason = reason
        self._state = state
        self._dial: Dial | None = None
        self._out = b""
        self._answer = b""

    def next(self) -> None:
        """Leave the node being asked, and ask the next one."""
        board = self._board
        self._leave()
        for node in self._targets:
            try:
                self._dial = Dial(board.poller, node, board.settings.source, self._on_connected)
            except OSError:  # the next rank may do better
                node.dial_failures += 1
            else:
                board.attaching(self)
                return
        board.attach_over(self)
        self._wanted.exhausted()

    def expire(self) -> None:
        """The node being asked has failed, or has not answered in time."""
        if self._dial is not None:
            self._dial.node.dial_failures += 1
        self.next()

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self._leave()
        self._board.attach_over(self)

    def _on_connected(self, events: int) -> None:
        dial = self._dial
        assert dial is not None
        if dial.refused:
            self.expire()
            return
        self._out = self._header(dial.node) + self._state
        self._board.poller.replace(dial.socket.fileno(), self._on_backend)
        self._send()

    def _header(self, node: Node) -> bytes:
        relay, settings = self._relay, self._board.settings
        try:
            port = relay.client.getpeername()[1]
        except OSError:  # the client has just left; its end is reported by the poller
            port = 0
        relay.fence += 1
        judged = Ticket(
            session=relay.session_id,
            fence=relay.fence,
            expires=time.time() + _LIFE,
            reason=self._reason,
            state_size=len(self._state),
        )
        tlvs = {
            proxy_protocol.UNIQUE_ID: relay.session_id.encode(),
            proxy_protocol.PROXY_ID: settings.id.encode(),
            proxy_protocol.TICKET: ticket.sign(judged, self._state, self._board.secret),
        }
        return proxy_protocol.encode((relay.client_ip, port), (node.record.host, node.record.port), tlvs)

    def _send(self) -> None:
        assert self._dial is not None
        backend = self._dial.socket
        try:
            sent = backend.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.expire()
            return
        self._out = self._out[sent:]
        self._board.poller.modify(backend.fileno(), IN | OUT if self._out else IN)

    def _on_backend(self, events: int) -> None:
        if events & OUT:
            self._send()
        else:
            self._receive()

    def _receive(self) -> None:
        assert self._dial is not None
        try:
            data = self._dial.socket.recv(_ANSWER_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0 and data and len(self._answer) <= _ANSWER_LIMIT:
            return
        if end < 0 or response_status(self._answer) != 101:
            self.expire()
            return
        self._taken(self._answer[end + 4 :])

    def _taken(self, said: bytes) -> None:
        assert self._dial is not None
        node, backend = self._dial.give_away()
        self._dial = None
        self._board.attach_over(self)
        self._wanted.attached(node, backend, said)

    def _leave(self) -> None:
        if self._dial is not None:
            self._dial.drop()
            self._dial = None
        self._out = self._answer = b""
