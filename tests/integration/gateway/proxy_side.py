"""A proxy as the tests need it: it moves sessions between real nodes step by step, rightly or wrongly.

It keeps no sessions of its own. Raw sockets lead to the nodes' client ports, a real WebSocket to their links.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

import psutil
from websockets.sync.client import connect

from flux_gateway.core import frozen, link, proxy_protocol, ticket
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.link import Detach, Detaching, Ping, Refused, Released, Status, ToNode, ToProxy
from flux_gateway.core.residue import limit_for
from flux_gateway.core.ticket import Ticket
from tests.integration.gateway.wire import BINARY, Arrived, Wire, frame
from tests.processes import ADMIN_PORT, PORT, TOKEN, Daemon, Stack, until

Message = TypeVar("Message", Detaching, Refused, Released)

SECRET = TOKEN.encode()
QUIET = 3600
"""Seconds between pings, so that none comes between the frames that a test expects."""

ATTACHED = b"HTTP/1.1 101 Attached\r\nX-Flux-Node: %b\r\n\r\n"


def to_end(wire: Wire) -> bytes:
    """Return every byte up to the end of the stream."""
    data = wire.leftover()
    with contextlib.suppress(ConnectionResetError):
        while more := wire.socket.recv(65536):
            data += more
    return data


def frames_in(data: bytes) -> list[Arrived]:
    """Return the frames of a node's stream, which must stop where one ends."""
    found, at = [], 0
    while at < len(data):
        head, size = 2, data[at + 1] & 0x7F
        if size > 125:
            wide = 2 if size == 126 else 8
            head, size = 2 + wide, int.from_bytes(data[at + 2 : at + 2 + wide], "big")
        payload = data[at + head : at + head + size]
        assert len(payload) == size, f"the stream ends {size - len(payload)} bytes before its frame does"
        found.append(Arrived(data[at] & 0x0F, payload, bool(data[at] & 0x80), bool(data[at] & 0x40)))
        at += head + size
    return found


class Link:
    """The proxy's link to one node. It pings only when it is told to."""

    def __init__(self, node: Daemon, proxy_id: str) -> None:
        self._leaving = contextlib.ExitStack()
        self._socket = self._leaving.enter_context(connect(
            f"ws://{node.admin[0]}:{node.admin[1]}/link?proxy={proxy_id}",
            additional_headers={"Authorization": f"Bearer {TOKEN}"},
            max_size=link.size_limit(limit_for(2**30)),
            compression=None, ping_interval=None, proxy=None,
        ))  # fmt: skip
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave as a proxy does that stops."""
        self._leaving.close()

    def cut(self) -> None:
        """Leave as a proxy does whose process has died: without a word."""
        self._socket.socket.shutdown(socket.SHUT_RDWR)
        self._leaving.close()

    def say(self, message: ToNode) -> None:
        """Say something to the node."""
        self._socket.send(link.encode(message))

    def _next(self) -> ToProxy:
        return link.decode_at_proxy(self._socket.recv(timeout=15))

    def hear(self, kind: type[Message]) -> Message:
        """Return the next message of the node that is no status; it must be of this kind."""
        message = self.hear_any()
        assert isinstance(message, kind), message
        return message

    def hear_any(self) -> Detaching | Refused | Released:
        """Return the next message of the node that is no status."""
        while isinstance(message := self._next(), Status):
            continue
        return message

    def hear_state(self, state: str) -> None:
        """Wait until the node has said that it is in this state."""
        while True:
            message = self._next()
            assert isinstance(message, Status), message
            if message.state == state:
                return

    def hears_nothing(self) -> None:
        """Have a ping answered; up to there the node must have said nothing about sessions."""
        self._sequence += 1
        self.say(Ping(self._sequence))
        while True:
            message = self._next()
            assert isinstance(message, Status), message
            if message.sequence == self._sequence:
                return

    def agree(self, *sessions: str) -> None:
        """Ask for sessions to be moved; the node must agree to all."""
        self.say(Detach(list(sessions)))
        assert self.hear(Detaching).sessions == list(sessions)

    def asked(self, session: str) -> ToProxy:
        """Ask for a session to be moved; return the node's answer."""
        self.say(Detach([session]))
        return self.hear_any()

    @contextlib.contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Ping every half second meanwhile."""
        over = threading.Event()

        def ping() -> None:
            while not over.wait(0.5):
                self.say(Ping(0))

        thread = threading.Thread(target=ping)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class ProxySide:
    """Opens, fetches and attaches sessions. It counts the fencing numbers as a proxy does."""

    def __init__(self, stack: Stack, number: int = 9) -> None:
        self.id = f"proxy-{number}"
        self.host = stack.host(2, number)
        self.fences: dict[str, int] = {}

    def link(self, node: Daemon) -> Link:
        """Open a link to the node."""
        return Link(node, self.id)

    def connect(self, node: Daemon, tlvs: Mapping[int, bytes], *, receive_buffer: int = 0) -> Wire:
        """Return a connection to the node on which a PROXY header has been sent."""
        wire = Wire(node.address, source=self.host, receive_buffer=receive_buffer)
        wire.send(self.header(node, tlvs))
        return wire

    def header(self, node: Daemon, tlvs: Mapping[int, bytes]) -> bytes:
        """Return the PROXY header of a connection to the node."""
        return proxy_protocol.encode(("203.0.113.7", 4711), node.address, {**tlvs})

    def open(
        self, node: Daemon, path: str = "/echo", *, headers: Mapping[str, str] | None = None, receive_buffer: int = 0
    ) -> tuple[str, Wire]:
        """Open a session for a new client: (its id, the connection to the node)."""
        session = uuid4().hex
        tlvs = {proxy_protocol.UNIQUE_ID: session.encode(), proxy_protocol.PROXY_ID: self.id.encode()}
        wire = self.connect(node, tlvs, receive_buffer=receive_buffer)
        assert wire.open(path, headers).headers["x-flux-session"] == session
        self.fences[session] = 0
        return session, wire

    def fetch(self, told: Link, session: str, wire: Wire) -> tuple[Released, list[Arrived]]:
        """Take a session off its node; also what the node still had for the client, up to the end of its stream."""
        told.agree(session)
        return self.fetch_agreed(told, session, wire)

    def fetch_agreed(self, told: Link, session: str, wire: Wire) -> tuple[Released, list[Arrived]]:
        """Take a session off its node, which has agreed to it."""
        wire.socket.shutdown(socket.SHUT_WR)
        released = told.hear(Released)
        assert released.session == session
        arrived = frames_in(to_end(wire))
        wire.socket.close()
        return released, arrived

    def next_fence(self, session: str) -> int:
        """Return the fencing number of the next attempt to attach the session."""
        self.fences[session] = self.fences.get(session, 0) + 1
        return self.fences[session]

    def ticket(self, session: str, state: bytes, *, secret: bytes = SECRET, **changed: object) -> dict[int, bytes]:
        """Return the TLVs that attach a session to a node."""
        values: dict[str, object] = {"fence": 1, "expires": time.time() + 10, "reason": "move", **changed}
        signed = ticket.sign(Ticket(session=session, **values), state, secret)  # type: ignore[arg-type]
        return {
            proxy_protocol.UNIQUE_ID: session.encode(),
            proxy_protocol.PROXY_ID: self.id.encode(),
            proxy_protocol.TICKET: signed,
        }

    def attach(self, node: Daemon, released: Released) -> Wire:
        """Bring a session to a node, which must take it; return the connection, with nothing read past the answer."""
        tlvs = self.ticket(released.session, released.state, fence=self.next_fence(released.session))
        wire = self.connect(node, tlvs)
        wire.send(released.state + released.residual)
        expected = ATTACHED % str(node.name).encode()
        assert wire.take(len(expected)) == expected
        return wire

    def move(self, told: Link, node: Daemon, session: str, wire: Wire) -> Wire:
        """Move a session that has nothing to say to another node; return the new connection."""
        released, arrived = self.fetch(told, session, wire)
        assert (released.residual, arrived) == (b"", [])
        return self.attach(node, released)


def state_of(session: str, path: str = "/echo", extensions: str = "") -> bytes:
    """Return a session as another node would have frozen it."""
    made = Frozen(session=session, path=path, connected_at=1.5, moves=0, extensions=extensions)
    return frozen.encode(made)


def holds_nothing(node: Daemon) -> bool:
    """Tell whether a node has no session, and no socket on its own two ports beside the listeners."""
    sockets = [
        one for one in psutil.Process(node.pid).net_connections("tcp")
        if one.status != psutil.CONN_LISTEN and one.laddr.port in (PORT, ADMIN_PORT)
    ]  # fmt: skip
    return node.info()["connections"] == 0 and not sockets


def fill(wire: Wire, told: Link) -> int:
    """Send messages of 4 KiB to `/echo` until some of the answers wait in the node itself, for lack of room in the
    kernel, but not so many that it stops reading. Returns how many were sent.
    """
    message, count = frame(BINARY, bytes(4096)), 0
    while True:
        wire.send(message * 12)
        count += 12
        answered = (len(message) - 4) * count  # a node's frames have no mask
        until(lambda: kernel_queues(wire)[0] == 0, "the node has read all")
        told.hears_nothing()  # and has written, since it has answered something that came later
        if kernel_queues(wire)[1] >= answered:
            continue
        # The kernel lists one end after the other: what passes meanwhile is seen twice, or not at all.
        waiting = answered - median(kernel_queues(wire)[1] for _ in range(5))
        if waiting > 0:
            assert waiting < 60_000
            return count


def kernel_queues(wire: Wire) -> tuple[int, int]:
    """Return how many bytes are in the kernel (on the way to the node, on the way from it), by proc(5)."""
    port = f":{wire.socket.getsockname()[1]:04X}"
    to_node = from_node = 0
    for line in Path("/proc/net/tcp").read_text().splitlines():
        if port not in line:
            continue
        _, local, remote, _, queues = line.split()[:5]
        sending, receiving = (int(size, 16) for size in queues.split(":"))
        if local.endswith(port):
            to_node, from_node = to_node + sending, from_node + receiving
        elif remote.endswith(port):
            to_node, from_node = to_node + receiving, from_node + sending
    return to_node, from_node
