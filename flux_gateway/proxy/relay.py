"""One relayed connection: bytes both ways, back-pressure both ways, and where the frames end.

The hot path of the proxy. One receive, one walk over a header, one send; nothing is stored unless the other side does
not keep up, and then the side that sends too much is not read until the rest is gone.
"""

import socket

from flux_gateway.core.frames import LENGTH, WHOLE, FrameTracker, encode_close
from flux_gateway.proxy.relay_needs import Origin, Owner, RelayNode, Transfer
from flux_gateway.runtime import tcp
from flux_gateway.runtime.poller import ERR, HUP, IN, OUT

_CHUNK = 65_536
_BUFFER = bytearray(_CHUNK)
_VIEW = memoryview(_BUFFER)
"""Shared by all connections: what is read is sent on, or copied, before anything else is read."""

NODE_LOST = "node lost, connect again"
RESTARTING = "proxy is restarting, connect again"
"""What clients are told that are let go."""

_RESCUE = 2**20
"""Bytes at most that are still read from a node that is gone."""


class Relay:
    """A client connection and its backend connection, from the handshake's answer to the end."""

    __slots__ = (
        "_backend_eof", "_board", "_parked", "backend", "client", "client_eof", "client_ip", "cut", "down", "fence",
        "move", "moves", "node", "opened_at", "origin", "session_id", "slot", "to_backend", "to_client", "up",
    )  # fmt: skip

    def __init__(
        self,
        board: Owner["Relay"],
        node: RelayNode,
        session_id: str,
        client: socket.socket,
        client_ip: str,
        backend: socket.socket,
        slot: int,
        origin: Origin,
        opened_at: float,
    ) -> None:
        self._board = board
        self.node = node
        self.session_id = session_id
        self.slot = slot
        """Slot of the affinity key: it ranks the nodes when the session moves."""
        self.origin = origin
        self.opened_at = opened_at
        """Unix seconds."""
        self.fence = 0
        """Fencing number of the last attach; 0 where the session opened."""
        self.moves = 0
        self.client = client
        self.client_ip = client_ip
        self.backend = backend
        self.up: FrameTracker | None = FrameTracker()
        """Client to node. None when the node answered with plain HTTP: then there are no frames to follow."""
        self.down: FrameTracker | None = FrameTracker()
        """Node to client."""
        self.to_client = b""
        """Bytes the client has not taken yet; while there are any, the node is not read."""
        self.to_backend = b""
        self.move: Transfer | None = None
        """Set from the moment the client is not read any more until another node has the session."""
        self.cut = False
        """There is no backend connection now: the session is between two nodes."""
        self.client_eof = False
        """The client sends no more."""
        self._backend_eof = False
        self._parked = False
        """The node has hung up, but what it said before cannot be read yet; its socket is not watched meanwhile."""

    def start(self, answer: bytes) -> None:
        """Begin with the node's answer to the handshake, and whatever came with it."""
        self.node.bytes_down += len(answer)
        try:
            sent = self.client.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._client_lost()
            return
        self.to_client = answer[sent:]
        self.watch()

    def restore(
        self, up: FrameTracker, down: FrameTracker, to_client: bytes, to_backend: bytes, client_eof: bool
    ) -> None:
        """Go on where another process of this proxy stopped; `watch` begins it."""
        self.up, self.down = up, down
        self.to_client, self.to_backend, self.client_eof = to_client, to_backend, client_eof

    # Client -> node.

    def on_client(self, events: int) -> None:
        """The client's socket is ready."""
        if events != IN and not self._client_event(events):
            return
        try:
            size = self.client.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self._client_lost()
            return
        if not size:
            self._client_ended()
            return
        tracker = self.up
        if tracker is not None and (tracker.rest or LENGTH[_BUFFER[1]] != size or not WHOLE[_BUFFER[0]]):
            tracker.feed(_BUFFER, 0, size)
        self.node.bytes_up += size
        try:
            sent = self.backend.send(_VIEW[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._backend_lost()
            return
        if sent != size:
            self.hold_up(bytes(_VIEW[sent:size]))

    def hold_up(self, rest: bytes) -> None:
        """The node does not keep up: keep the rest, and read nothing from the client until it is gone."""
        self.to_backend = rest
        self.watch()

    def _client_event(self, events: int) -> bool:
        """Handle what is not just readable. Returns whether to go on reading."""
        if events & OUT and not self._flush_to_client():
            return False
        if events & IN:
            return not (self.to_backend or self.client_eof or self._backend_eof or self.move)
        if events & (ERR | HUP):
            self._client_lost()
        return False

    def _flush_to_client(self) -> bool:
        """Send what waits for the client. Returns False when the client is lost."""
        try:
            sent = self.client.send(self.to_client)
        except BlockingIOError:
            return True
        except OSError:
            self._client_lost()
            return False
        self.to_client = self.to_client[sent:]
        if not self.to_client:
            if self._backend_eof:
                self._board.linger(self)
                return False
            self.watch()
        elif sent and (self._backend_eof or self._parked):
            self._board.flushing(self)
        return True

    def _client_ended(self) -> None:
        """The client sends no more; the node hears so after everything before."""
        self.client_eof = True
        if self.to_backend or self._shut_backend():
            self.watch()

    def _shut_backend(self) -> bool:
        """Half-close towards the node. Returns False when the node is lost."""
        try:
            self.backend.shutdown(socket.SHUT_WR)
        except OSError:
            self._backend_lost()
            return False
        return True

    def _client_lost(self) -> None:
        self._board.end(self, "client lost")

    # Node -> client.

    def on_backend(self, events: int) -> None:
        """The backend socket is ready."""
        if events != IN and not self._backend_event(events):
            return
        try:
            size = self.backend.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self._backend_lost()
            return
        if not size:
            self._backend_ended()
            return
        tracker = self.down
        if tracker is not None and (tracker.rest or LENGTH[_BUFFER[1]] != size or not WHOLE[_BUFFER[0]]):
            tracker.feed(_BUFFER, 0, size)
        self.node.bytes_down += size
        try:
            sent = self.client.send(_VIEW[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._client_lost()
            return
        if sent != size:
            self.to_client = bytes(_VIEW[sent:size])
            self.watch()

    def _backend_event(self, events: int) -> bool:
        """Handle what is not just readable. Returns whether to go on reading."""
        if events & OUT and not self._flush_to_backend():
            return False
        if events & IN:
            return not self.to_client
        if events & (ERR | HUP):
            if self.to_client:
                # The kernel may still hold bytes of the node: they are read when the client has taken the last ones.
                self._parked = True
                self._board.poller.unregister(self.backend.fileno())
                self._board.flushing(self)
            else:
                self._backend_lost()
        return False

    def _flush_to_backend(self) -> bool:
        """Send what waits for the node. Returns False when the node is lost."""
        try:
            sent = self.backend.send(self.to_backend)
        except BlockingIOError:
            return True
        except OSError:
            self._backend_lost()
            return False
        self.to_backend = self.to_backend[sent:]
        if not self.to_backend:
            if (self.client_eof or self.move) and not self._shut_backend():
                return False
            self.watch()
        return True

    def _backend_ended(self) -> None:
        """The node sends no more: rightly, after a close frame, plain HTTP or as part of a move, or it is gone."""
        if self.down is None or self.down.closed:
            self._finish("closed" if self.down is not None else "plain HTTP")
        elif self.move is not None:
            self._cut_backend()
            self.move.drained()
        else:
            self._backend_lost()

    def _backend_lost(self) -> None:
        """The node is gone without a word."""
        if self.down is None or not self.down.closed:
            self._rescue()
        if self.client_eof:
            self._board.end(self, "client left")
        elif self.down is None or self.down.closed:
            self._finish("closed" if self.down is not None else "plain HTTP")
        else:
            self._cut_backend()
            if self.move is not None:
                self.move.backend_lost()
            else:
                self._board.orphaned(self)

    def _rescue(self) -> None:
        """Take what the node had said before it was gone: the kernel still has it."""
        while len(self.to_client) < _RESCUE:
            try:
                size = self.backend.recv_into(_BUFFER)
            except OSError:
                return
            if not size:
                return
            if self.down is not None:
                self.down.feed(_BUFFER, 0, size)
            self.node.bytes_down += size
            self.to_client += bytes(_VIEW[:size])

    # Between two nodes.

    @property
    def movable(self) -> bool:
        """Whether a move may begin: an open session, nothing of it waiting here, and no move yet."""
        up, down = self.up, self.down
        if up is None or down is None or self.move is not None:
            return False
        ending = self.client_eof or self._backend_eof or up.closed or down.closed
        return not (ending or self.to_backend or self.to_client)

    @property
    def ending(self) -> bool:
        """Whether nothing more comes from the node."""
        return self._backend_eof

    @property
    def stuck(self) -> bool:
        """Whether all that is left to do is for the client to take what waits for it."""
        return bool(self.to_client) and (self._backend_eof or self._parked)

    @property
    def between_messages(self) -> bool:
        """Whether both directions stand between two messages: then another node can go on without the old one."""
        up, down = self.up, self.down
        if up is None or down is None:
            return False
        return not (up.rest or up.fragmented or up.closed or down.rest or down.fragmented or down.closed)

    def leave(self, move: Transfer) -> None:
        """Read the client no more, and half-close towards the node: the barrier of a move."""
        self.move = move
        if self.to_backend or self._shut_backend():
            self.watch()

    def hold(self, move: Transfer) -> None:
        """Read the client no more, and give the node up that does not answer."""
        self.move = move
        if not self.cut:
            self._cut_backend()
        self.watch()

    def _cut_backend(self) -> None:
        """What waited for the node was for that node alone: a part of it may have been sent."""
        self.cut = True
        self._parked = False
        self.to_backend = b""
        self._board.poller.unregister(self.backend.fileno())
        tcp.end(self.backend)

    def resume(self, node: RelayNode, backend: socket.socket, residual: bytes, said: bytes) -> None:
        """Go on with another node, which gets the `residual` first and has `said` something already."""
        self.move = None
        self.cut = False
        self.node = node
        self.backend = backend
        self.moves += 1
        self.up, self.down = FrameTracker(), FrameTracker()
        self.up.feed(residual, 0, len(residual))
        self.down.feed(said, 0, len(said))
        self.to_backend = residual
        self.to_client += said
        self._board.poller.replace(backend.fileno(), self.on_backend)
        self.watch()

    # The end.

    def give_up(self, reason: str, cause: str) -> None:
        """End the client's stream, with a close frame that says "come back" (1012) wherever that is possible."""
        down = self.down
        if down is None or down.rest or down.closed:
            # In the middle of a frame nothing can be said: the client sees the stream end.
            self._finish(f"{cause} in mid-frame" if down is not None and down.rest else cause)
            return
        down.closed = True
        frame = encode_close(1012, reason)
        if self.to_client:
            self.to_client += frame
        else:
            try:
                sent = self.client.send(frame)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._client_lost()
                return
            self.to_client = frame[sent:]
        self._finish(cause)

    def _finish(self, cause: str) -> None:
        """Nothing comes from the node any more: flush to the client, then let it leave."""
        self._backend_eof = True
        self._board.leave_node(self, cause)
        if self.to_client:
            self.watch()
            self._board.flushing(self)
        else:
            self._board.linger(self)

    def watch(self) -> None:
        """Read a side only when what it sends can go on; write where something waits."""
        client_reads = not (self.to_backend or self.client_eof or self._backend_eof or self.move)
        client = (IN if client_reads else 0) | (OUT if self.to_client else 0)
        self._board.poller.modify(self.client.fileno(), client)
        if self._backend_eof or self.cut:
            return
        if not self._parked:
            backend = (0 if self.to_client else IN) | (OUT if self.to_backend else 0)
            self._board.poller.modify(self.backend.fileno(), backend)
        elif not self.to_client:
            self._parked = False
            self._board.poller.register(self.backend.fileno(), IN, self.on_backend)
