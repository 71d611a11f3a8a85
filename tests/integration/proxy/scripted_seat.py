"""One connection from a proxy to a scripted node: handshake or ticket, echo, and the barrier of a move."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from flux_gateway.core import frozen, proxy_protocol, ticket
from flux_gateway.core.frames import BINARY, CLOSE, encode_frame
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.link import Refused, Released
from tests.processes import TOKEN

if TYPE_CHECKING:
    from tests.integration.proxy.scripted_node import ScriptedNode

PATIENCE = 20.0
"""Seconds after which a step that is held goes on by itself: the test has failed by then."""

_RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER on, with no time: a close is a reset."""


def reset(sock: socket.socket) -> None:
    """Close a connection so that the other side sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RD)  # wakes whoever reads
    sock.close()


class Seat(threading.Thread):
    """One connection from the proxy."""

    def __init__(self, node: "ScriptedNode", sock: socket.socket) -> None:
        super().__init__(name=f"{node.id} serves")
        self._node, self._sock = node, sock
        self._ended = threading.Lock()
        self._cut_off = threading.Event()
        """Set when a connection that has outlived a partition ends."""
        self.session = ""
        self.fence = 0
        self.unfinished = 0
        """Bytes of an unfinished frame."""
        self._state = Frozen(session="", path="/echo", connected_at=1.5, moves=0, extensions="")

    def end(self, with_reset: bool) -> None:
        """Close it, from another thread."""
        self._cut_off.set()
        with self._ended:
            if self._sock.fileno() < 0:
                return
            if with_reset:
                reset(self._sock)
            else:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
                self._sock.close()

    def send(self, data: bytes) -> None:
        """Say something that nobody asked for."""
        self._sock.sendall(data)

    def run(self) -> None:
        """Serve it to its end."""
        with contextlib.suppress(OSError, EOFError):
            self._talk(self._begin())
        self._node.forget(self)
        self.end(False)

    def _more(self) -> bytes:
        data = self._sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def _begin(self) -> bytes:
        """Do the handshake or take the session in; return what has come after."""
        data = self._more()
        while (found := proxy_protocol.decode(data)) is None:
            data += self._more()
        header, used = found
        self.session, data = header.session_id, data[used:]
        if proxy_protocol.TICKET in header.tlvs:
            return self._attach(header.tlvs[proxy_protocol.TICKET], data)
        while b"\r\n\r\n" not in data:
            data += self._more()
        self._state = msgspec.structs.replace(self._state, session=self.session)
        self._node.take_in(self)
        self._sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Flux-Node: %b\r\n\r\n" % self._node.id.encode())
        return data.partition(b"\r\n\r\n")[2]

    def _attach(self, value: bytes, data: bytes) -> bytes:
        node = self._node
        judged = ticket.verify(value, self.session, TOKEN.encode(), time.time())
        while len(data) < judged.state_size:
            data += self._more()
        state = data[: judged.state_size]
        ticket.check_state(judged, state)
        kept = frozen.decode(state)
        assert kept.session == self.session
        assert judged.fence > node.fences.get(self.session, -1), "fencing numbers only grow"
        node.come_to("attach", self.session)
        if node.refusing or node.state is not NodeState.UP:
            self._sock.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            raise EOFError
        self.fence = judged.fence
        self._state = msgspec.structs.replace(kept, moves=kept.moves + 1)
        node.take_in(self)
        self._sock.sendall(b"HTTP/1.1 101 Attached\r\nX-Flux-Node: %b\r\n\r\n" % node.id.encode())
        node.come_to("attached", self.session)
        return data[judged.state_size :]

    def _talk(self, data: bytes) -> None:
        node = self._node
        while True:
            for first, payload in (found := _Frames(data)):
                if first & 0x0F == CLOSE:
                    self._sock.sendall(encode_frame(CLOSE, payload))
                    self._sock.shutdown(socket.SHUT_WR)
                    while self._sock.recv(65536):
                        continue
                    return
                # Frame by frame: fragments come back as fragments.
                self._sock.sendall(bytes([first]) + encode_frame(BINARY, payload)[1:])
            data = found.rest
            self.unfinished = len(data)
            node.come_to("read", self.session)
            more = self._sock.recv(65536)
            if not node.awake.is_set():
                self._cut_off.wait(PATIENCE)
                return
            if not more:
                break
            data += more
        if node.fetched_by(self.session) is not None:
            node.come_to("barrier", self.session)
            link = node.fetched_by(self.session)
            if link is None:  # it broke meanwhile, and whatever was agreed on over it
                return
            node.forget(self)
            if node.unwilling:
                node.tell(link, Refused({self.session: node.unwilling}))
            else:
                node.tell(link, Released(self.session, frozen.encode(self._state), data))
                node.come_to("released", self.session)


class _Frames:
    """The whole frames at the start of a client's bytes (the tests' masks are zero), and the `rest`."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while len(self.rest) > 1:
            short = self.rest[1] & 0x7F
            wide = {126: 2, 127: 8}.get(short, 0)
            head = 2 + wide + 4
            size = int.from_bytes(self.rest[2 : 2 + wide], "big") if wide else short
            if len(self.rest) < head + size:
                return
            first, payload = self.rest[0], self.rest[head : head + size]
            self.rest = self.rest[head + size :]
            yield first, payload


