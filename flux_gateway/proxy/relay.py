"""One relayed connection: bytes both ways, back-pressure both ways, and where the frames end.

The hot path of the proxy. One receive, one walk over a header, one send; nothing is stored unless the other side does
not keep up, and then the side that sends too much is not read until the rest is gone.
"""

import socket
from typing import Protocol

from flux_gateway.core.frames import LENGTH, WHOLE, FrameTracker, encode_close
from flux_gateway.runtime.poller import ERR, HUP, IN, OUT, Poller

_CHUNK = 65_536
_BUFFER = bytearray(_CHUNK)
_VIEW = memoryview(_BUFFER)
"""Shared by all connections: what is read is sent on, or copied, before anything else is read."""


class RelayNode(Protocol):
    """What a relay needs of the node it relays to."""

    relays: dict["Relay", None]
    bytes_up: int
    bytes_down: int


class Owner(Protocol):
    """What a relay needs of the switchboard that holds it."""

    poller: Poller

    def leave_node(self, relay: "Relay", cause: str) -> None:
        """Nothing goes to or comes from the node any more."""

    def linger(self, holder: "Relay") -> None:
        """Everything for the client has been sent: half-close, and wait for it to leave."""

    def end(self, relay: "Relay", cause: str) -> None:
        """End both sides at once."""


class Relay:
    """A client connection and its backend connection, from the handshake's answer to the end."""

    __slots__ = (
        "_backend_eof", "_board", "_client_eof", "_parked", "backend", "client", "client_ip", "down", "node",
        "session_id", "to_backend", "to_client", "up",
    )  # fmt: skip

    def __init__(
        self,
        board: Owner,
        node: RelayNode,
        session_id: str,
        client: socket.socket,
        client_ip: str,
        backend: socket.socket,
    ) -> None:
        self._board = board
        self.node = node
        self.session_id = session_id
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
        self._client_eof = False
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
        self._watch()

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
        self._watch()

    def _client_event(self, events: int) -> bool:
        """Handle what is not just readable. Returns whether to go on reading."""
        if events & OUT and not self._flush_to_client():
            return False
        if events & IN:
            return not (self.to_backend or self._client_eof or self._backend_eof)
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
            self._watch()
        return True

    def _client_ended(self) -> None:
        """The client sends no more; the node hears so after everything before."""
        self._client_eof = True
        if self.to_backend or self._shut_backend():
            self._watch()

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
            self._watch()

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
            if self._client_eof and not self._shut_backend():
                return False
            self._watch()
        return True

    def _backend_ended(self) -> None:
        """The node sends no more: rightly, after a close frame or plain HTTP, or because it is gone."""
        if self.down is None or self.down.closed:
            self._finish("closed" if self.down is not None else "plain HTTP")
        else:
            self._backend_lost()

    def _backend_lost(self) -> None:
        """The node is gone without a word: speak it for the node, if the client's stream stands between two frames."""
        if self._client_eof:
            self._board.end(self, "client left")
        elif self.down is not None and self.down.closed:
            self._finish("closed")
        else:
            self.give_up(1012, "node lost, connect again", "node lost")

    # The end.

    def give_up(self, code: int, reason: str, cause: str) -> None:
        """End the client's stream, with a proper close frame wherever that is possible."""
        down = self.down
        if down is None or down.rest or down.closed:
            # In the middle of a frame nothing can be said: the client sees the stream end.
            self._finish(f"{cause} in mid-frame" if down is not None and down.rest else cause)
            return
        down.closed = True
        frame = encode_close(code, reason)
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
            self._watch()
        else:
            self._board.linger(self)

    def _watch(self) -> None:
        """Read a side only when what it sends can go on; write where something waits."""
        client_reads = not (self.to_backend or self._client_eof or self._backend_eof)
        client = (IN if client_reads else 0) | (OUT if self.to_client else 0)
        self._board.poller.modify(self.client.fileno(), client)
        if self._backend_eof:
            return
        if not self._parked:
            backend = (0 if self.to_client else IN) | (OUT if self.to_backend else 0)
            self._board.poller.modify(self.backend.fileno(), backend)
        elif not self.to_client:
            self._parked = False
            self._board.poller.register(self.backend.fileno(), IN, self.on_backend)
