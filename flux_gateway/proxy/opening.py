"""A client connection until a node has answered its handshake: head, route, dial, answer, next rank."""

import socket
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

from flux_gateway.core import proxy_protocol
from flux_gateway.core.affinity import AffinityNames, affinity_key
from flux_gateway.core.errors import HttpError
from flux_gateway.core.http_head import (
    find_end,
    parse_request,
    require_websocket,
    response_header,
    response_status,
)
from flux_gateway.core.slots import slot_of
from flux_gateway.proxy import relay_needs
from flux_gateway.proxy.counters import ProxyCounters
from flux_gateway.proxy.dial import Dial
from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.plain import PlainRelay, Upload, is_plain, single
from flux_gateway.proxy.relay import Relay
from flux_gateway.proxy.relay_needs import Origin
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.runtime.poller import IN, OUT, Poller

_ANSWER_LIMIT = 65_536

# One value for all sessions that are alike: a proxy holds very many of them.
origin = lru_cache(maxsize=1024)(Origin)


class Owner(relay_needs.Owner[Relay], Protocol):
    """What an opening needs of the switchboard that holds it."""

    settings: ProxySettings
    counters: ProxyCounters
    affinity: AffinityNames
    poller: Poller

    def targets(self, slot: int) -> Iterator[Node]:
        """Yield the nodes to dial for a slot, best first."""

    def head_complete(self, opening: "Opening") -> None:
        """The request head has arrived."""

    def dialing(self, opening: "Opening") -> None:
        """A connection to a node has been started."""

    def awaiting_answer(self, opening: "Opening") -> None:
        """The node is connected and has been sent the handshake."""

    def dial_failed(self, node: Node, failure: str) -> None:
        """A node was left before it answered, because of `failure`."""

    def connected(self, opening: "Opening", node: Node, relay: Relay) -> None:
        """A node has answered."""

    def started(self, relay: Relay, node: Node) -> None:
        """The node's answer is on its way to the client."""

    def refuse(self, opening: "Opening", error: HttpError) -> None:
        """Answer the client with an HTTP error."""

    def abandon(self, opening: "Opening", reason: str) -> None:
        """The client left before a node answered."""


class Opening:
    """Owns the client's socket, and the backend's as long as it dials. Replaced by a `Relay` when a node answers."""

    __slots__ = (
        "_address", "_answer", "_board", "_dial", "_head_size", "_request", "_slot", "_targets", "_tried", "_upload",
        "client", "client_ip", "path", "session_id",
    )  # fmt: skip

    def __init__(self, board: Owner, client: socket.socket, address: tuple[str, int]) -> None:
        self._board = board
        self._address = address
        self.client = client
        self.client_ip = address[0]
        self.session_id = ""
        self._request = bytearray()
        self._head_size = 0
        self._slot = 0
        self._targets: Iterator[Node] = iter(())
        self._tried = 0
        self._dial: Dial | None = None
        self._answer = bytearray()
        self._upload: Upload | None = None
        """Set when this is plain HTTP."""
        self.path = ""
        """The path asked for; known once the head is complete."""

    @property
    def node(self) -> Node | None:
        """The node being asked."""
        return self._dial.node if self._dial is not None else None

    @property
    def plain(self) -> bool:
        """Whether plain HTTP is asked for, and no WebSocket."""
        return self._upload is not None

    # The head.

    def on_client(self, events: int) -> None:
        """The client's socket is ready, or broken."""
        if self._upload is not None and self._upload.begun:
            self._upload.on_client(events)
            return
        if not events & IN:
            self.abandon("client left before it was served")
            return
        try:
            data = self.client.recv(self._board.settings.head_limit + 1 - len(self._request))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.abandon("client left before it was served")
            return
        self._request += data
        try:
            size = find_end(self._request, self._board.settings.head_limit)
            if size >= 0:
                self._route(size)
        except HttpError as error:
            self.refuse(error)

    def _route(self, size: int) -> None:
        request = parse_request(bytes(self._request[:size]))
        if is_plain(request):
            self._upload = Upload(self, self._board.poller, request.method)
            self._request[:size] = single(bytes(self._request[:size]))
        else:
            require_websocket(request)
        self._head_size = size
        self.path = request.path
        self.session_id = uuid.uuid4().hex
        key = affinity_key(request, self.client_ip, self._board.affinity)
        self._slot = slot_of(key.encode())
        self._targets = self._board.targets(self._slot)
        self._board.head_complete(self)
        # Nothing more from the client until a node has answered; broken connections are still reported.
        self._board.poller.modify(self.client.fileno(), 0)
        self._dial_next("")

    def expire(self) -> None:
        """The time for the current step is over."""
        if self._head_size:
            self._dial_next("timeout")
        else:
            seconds = self._board.settings.head_timeout
            self.refuse(HttpError(408, f"no whole request head within {seconds:g} seconds"))

    # The nodes, one after another.

    def _dial_next(self, failure: str) -> None:
        """Leave the current node because of `failure`, and try the next one."""
        board = self._board
        self._leave(failure)
        if self._upload is not None and not self._upload.may_ask_another(failure):
            self.refuse(HttpError(504 if failure == "timeout" else 502, "the node that was asked did not answer"))
            return
        for node in self._targets:
            if self._tried:
                board.counters.retries += 1
            self._tried += 1
            try:
                self._dial = Dial(board.poller, node, board.settings.source, self._on_connected)
            except OSError:  # the next rank may do better; without any the client is told so
                self._failed(node, "refused")
            else:
                board.dialing(self)
                return
        self.refuse(HttpError(503, "no node can take this connection now", [("Retry-After", "1")]))

    def retry(self, failure: str) -> None:
        """The node being asked is known to be unable: ask the next one now."""
        self._dial_next(failure)

    def _on_connected(self, events: int) -> None:
        dial = self._dial
        assert dial is not None
        if dial.refused:
            self._dial_next("refused")
            return
        record = dial.node.record
        tlvs = {
            proxy_protocol.UNIQUE_ID: self.session_id.encode(),
            proxy_protocol.PROXY_ID: self._board.settings.id.encode(),
        }
        header = proxy_protocol.encode(self._address, (record.host, record.port), tlvs)
        try:
            # A fresh connection's send buffer takes a head of at most a few dozen KiB in one piece.
            sent = dial.socket.send(header + self._request)
        except OSError:
            sent = -1
        if sent != len(header) + len(self._request):
            self._dial_next("broken")
            return
        self._board.poller.replace(dial.socket.fileno(), self._on_answer)
        self._board.poller.modify(dial.socket.fileno(), IN)
        self._board.awaiting_answer(self)
        if self._upload is not None:
            self._upload.begin(dial.socket)

    def went_on(self) -> None:
        """A piece of the request's body has come: the node gets its time to answer anew."""
        self._board.awaiting_answer(self)

    def _on_answer(self, events: int) -> None:
        assert self._dial is not None
        if self._upload is not None and events & OUT:
            self._upload.flush()
        try:
            data = self._dial.socket.recv(_ANSWER_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._dial_next("broken")
            return
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._answer) > _ANSWER_LIMIT:
                self._dial_next("bad answer")
            return
        status = response_status(self._answer)
        if status == 503:
            # The node is draining or full, nothing has reached the client: the next rank may serve it.
            self._dial_next("unavailable")
        else:
            self._connect_through(status, end + 4)

    def _connect_through(self, status: int, end: int) -> None:
        """The node has answered: from here on bytes are relayed."""
        board = self._board
        assert self._dial is not None
        node, backend = self._dial.give_away()
        self._dial = None
        extensions = response_header(self._answer[:end], b"sec-websocket-extensions")
        make = Relay if status == 101 and self._upload is None else PlainRelay
        opened = make(
            board, node, self.session_id, self.client, self.client_ip, backend,
            self._slot, origin(self.path, extensions), time.time(),
        )  # fmt: skip
        if isinstance(opened, PlainRelay):
            if self._upload is None:
                board.counters.refused[str(status)] += 1
            board.connected(self, node, opened)
            opened.begin(bytes(self._answer), self._upload)
            return
        assert opened.up is not None
        assert opened.down is not None
        opened.up.feed(self._request, self._head_size, len(self._request))
        opened.down.feed(self._answer, end, len(self._answer))
        board.connected(self, node, opened)
        opened.start(bytes(self._answer))
        board.started(opened, node)

    def _leave(self, failure: str) -> None:
        """Leave the node being asked; `failure` is empty when that is not its fault."""
        if self._upload is not None:
            self._upload.stop()
        if self._dial is not None:
            self._dial.drop()
            if failure:
                self._failed(self._dial.node, failure)
            self._dial = None
        self._answer.clear()

    def _failed(self, node: Node, failure: str) -> None:
        node.dial_failures += 1
        self._board.dial_failed(node, failure)

    # The end without a session.

    def refuse(self, error: HttpError) -> None:
        """Answer with an HTTP error and let the client go."""
        self._leave("")
        self._board.refuse(self, error)

    def abandon(self, reason: str) -> None:
        """The client is gone."""
        self._leave("")
        self._board.abandon(self, reason)
