"""A node in a test's hands: it serves clients and links like a real one, and holds still at any step it is told to.

Steps of a move, in the order in which a node sees them:

    asked      `Detach` has come, nothing has been answered
    barrier    the stream of a session that detaches has ended, nothing has been handed over
    released   `Released` has been said, the old stream is still open
    attach     a ticket and a state have come, nothing has been answered
    attached   the session is here

The first four can be held, and so can `read`: what clients say. It echoes, and a client's close frame gets its answer.
"""

import contextlib
import json
import select
import socket
import threading
import time
from http import HTTPStatus
from types import TracebackType
from typing import Self

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.link import (
    Detach,
    Detaching,
    Drop,
    Ping,
    Refused,
    Status,
    ToProxy,
    decode_at_node,
    encode,
)
from tests.integration.proxy.scripted_seat import PATIENCE, Seat
from tests.processes import ADMIN_PORT, TOKEN, Stack


class ScriptedNode:
    """Listens at `address` and, for links, at the admin port of the same host."""

    def __init__(self, address: tuple[str, int], node_id: str) -> None:
        self.id, self.address = node_id, address
        self.state = NodeState.UP
        self.refusing = False
        """Whether sessions that come are answered with 503."""
        self.linkable = True
        """Whether links are taken."""
        self.unwilling = ""
        """Why no session can leave, where it is asked for as well as at its barrier; empty: all can."""
        self.links_seen = 0
        self.fences: dict[str, int] = {}
        """Highest fencing number seen, by session."""
        self.dropped: dict[str, int] = {}
        """Sessions that a proxy wants to be dropped, with their fencing numbers."""
        self.awake = threading.Event()
        self.awake.set()
        self._turn = threading.Condition()
        self._held: set[tuple[str, str]] = set()
        self._reached: set[tuple[str, str]] = set()
        self._sessions: dict[str, Seat] = {}
        self._links: set[ServerConnection] = set()
        self._detaching: dict[str, ServerConnection] = {}
        self._seats: list[Seat] = []
        self._fillers: list[socket.socket] = []
        self._closed = threading.Event()
        self._listener = socket.create_server(address, backlog=64)
        self._accepting = threading.Thread(target=self._accept, name=f"{node_id} accepts")
        self._accepting.start()
        self._server: Server = serve(
            self._serve_link, address[0], ADMIN_PORT, process_request=self._admit,
            compression=None, ping_interval=None, close_timeout=1,
        )  # fmt: skip
        self._serving = threading.Thread(target=self._server.serve_forever, name=f"{node_id} links")
        self._serving.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()
        for seat in self._seats:
            seat.join(PATIENCE)

    # What a test asks.

    @property
    def sessions(self) -> set[str]:
        """Ids of the sessions that are here."""
        with self._turn:
            return set(self._sessions)

    def unread(self, session: str) -> int:
        """Return how many bytes of an unfinished frame a session has sent."""
        with self._turn:
            return self._sessions[session].unfinished

    def wait(self, step: str, session: str = "") -> None:
        """Wait until a session, by default any, has come to a step."""
        def there() -> bool:
            return any(one == step and session in ("", whose) for one, whose in self._reached)

        with self._turn:
            assert self._turn.wait_for(there, 10), f"{self.id}: no {step}, only {sorted(self._reached)}"

    # What a test does.

    def hold(self, step: str, session: str = "") -> None:
        """Go no further than this step, with a session or with all."""
        with self._turn:
            self._held.add((step, session))

    def holds(self, step: str) -> bool:
        """Tell whether a step is held for all sessions."""
        with self._turn:
            return (step, "") in self._held

    def go_on(self) -> None:
        """Hold nothing any more, and accept again."""
        with self._turn:
            self._held.clear()
            self._turn.notify_all()
        self._make_room()

    def fill(self) -> None:
        """Accept nobody: a dial is neither refused nor answered, as with a host that is gone."""
        self._listener.listen(0)
        with self._turn:
            self._held.add(("accept", ""))
        time.sleep(0.1)  # the accepting thread looks that often
        filler = socket.create_connection(self.address, timeout=5)
        self._fillers.append(filler)

    def _make_room(self) -> None:
        while self._fillers:
            self._fillers.pop().close()
        if not self._closed.is_set():
            self._listener.listen(64)

    def enter(self, state: NodeState) -> None:
        """Go to another state, and tell."""
        self.state = state
        for link in self._server.connections:
            self.tell(link, Status(0, state, len(self.sessions)))

    def cut_links(self) -> None:
        """Break every link without a word."""
        for link in self._server.connections:
            with contextlib.suppress(OSError):
                link.socket.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Do nothing any more, as a process that is stopped."""
        self.linkable = False
        self.awake.clear()

    def wake(self) -> None:
        """Go on after `hang`. Connections that ended meanwhile have not: as after a partition."""
        self.linkable = True
        self.awake.set()

    def say(self, session: str, data: bytes) -> None:
        """Send raw bytes to a session's client, over the connection that it has, or had, here."""
        with self._turn:
            seat = [seat for seat in self._seats if seat.session == session][-1]
        seat.send(data)

    def end(self, session: str, *, with_reset: bool) -> None:
        """End a session's connection, as if its node were gone."""
        with self._turn:
            seat = self._sessions.pop(session)
        seat.end(with_reset)

    def die(self, *, with_reset: bool = True) -> None:
        """Be gone as a process that was killed: what was open is reset, or ended where nothing was unread."""
        if self._closed.is_set():
            return
        self._closed.set()
        self.awake.set()
        self._listener.close()
        with self._turn:
            seats, self._sessions = list(self._seats), {}
            self._turn.notify_all()
        for seat in seats:
            seat.end(with_reset)
        self._make_room()
        self.cut_links()
        self._server.shutdown()
        self._serving.join(PATIENCE)
        self._accepting.join(PATIENCE)

    def register(self, stack: Stack) -> None:
        """Put a record and a heartbeat into the registry."""
        now = time.time()
        record = {"id": self.id, "host": self.address[0], "port": self.address[1], "admin_port": ADMIN_PORT,
                  "state": "UP", "started_at": now, "heartbeat_at": now}  # fmt: skip
        with stack.registry() as registry:
            registry.set(f"gateway:heartbeat:{self.id}", "1", ex=600)
            registry.hset("gateway:nodes", self.id, json.dumps(record))

    def unregister(self, stack: Stack) -> None:
        """Take it out of the registry."""
        with stack.registry() as registry:
            registry.hdel("gateway:nodes", self.id)
            registry.delete(f"gateway:heartbeat:{self.id}")

    # The link.

    def _admit(self, link: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return link.respond(HTTPStatus.UNAUTHORIZED, "")
        return None if self.linkable else link.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")

    def _serve_link(self, link: ServerConnection) -> None:
        agreeing: list[threading.Thread] = []
        with self._turn:
            self.links_seen += 1
            self._links.add(link)
        try:
            self.tell(link, Status(0, self.state, len(self.sessions)))
            for message in link:
                self.awake.wait(PATIENCE)
                said = decode_at_node(message)
                if isinstance(said, Ping):
                    self.tell(link, Status(said.sequence, self.state, len(self.sessions)))
                elif isinstance(said, Detach):
                    # On its own, so that pings are answered even if this is held.
                    agreeing.append(threading.Thread(target=self._agree, args=(link, said)))
                    agreeing[-1].start()
                else:
                    self._drop(said)
        except ConnectionClosed:
            pass
        finally:
            with self._turn:
                self._links.discard(link)
                for session in [session for session, whose in self._detaching.items() if whose is link]:
                    del self._detaching[session]
            for thread in agreeing:
                thread.join()

    def _agree(self, link: ServerConnection, asked: Detach) -> None:
        try:
            for session in asked.sessions:
                self.come_to("asked", session)
        except EOFError:  # dead meanwhile
            return
        with self._turn:
            if link not in self._links:
                return
            able = [session for session in asked.sessions if session in self._sessions and not self.unwilling]
            self._detaching.update(dict.fromkeys(able, link))
        if able:
            self.tell(link, Detaching(able))
        refused = {session: self.unwilling or "unknown" for session in asked.sessions if session not in able}
        if refused:
            self.tell(link, Refused(refused))

    def _drop(self, said: Drop) -> None:
        self.dropped |= said.sessions
        for session, fence in said.sessions.items():
            seat = self._sessions.get(session)
            if seat is not None and seat.fence < fence:
                seat.end(True)

    @staticmethod
    def tell(link: ServerConnection, message: ToProxy) -> None:
        """Say something over a link, if it is still open."""
        with contextlib.suppress(ConnectionClosed, OSError):
            link.send(encode(message))

    # The client port.

    def _accept(self) -> None:
        while not self._closed.is_set():
            with self._turn:
                held = ("accept", "") in self._held
            try:
                if held:
                    time.sleep(0.02)
                elif select.select([self._listener], [], [], 0.05)[0]:
                    sock, _ = self._listener.accept()
                    seat = Seat(self, sock)
                    with self._turn:
                        self._seats.append(seat)
                    seat.start()
            except (OSError, ValueError):  # closed
                return

    def come_to(self, step: str, session: str) -> None:
        """A session has come to a step: wait here as long as that is held."""
        def free() -> bool:
            return self._closed.is_set() or not {(step, ""), (step, session)} & self._held

        with self._turn:
            self._reached.add((step, session))
            self._turn.notify_all()
            self._turn.wait_for(free, PATIENCE)
        if self._closed.is_set():
            raise EOFError

    def fetched_by(self, session: str) -> ServerConnection | None:
        """Return the link over which a session's leave has been agreed on."""
        with self._turn:
            return self._detaching.get(session)

    def take_in(self, seat: Seat) -> None:
        """A session is here now."""
        with self._turn:
            if self._closed.is_set():
                raise EOFError
            older = self._sessions.get(seat.session)
            self._sessions[seat.session] = seat
            self.fences[seat.session] = seat.fence
        if older is not None:
            older.end(True)

    def forget(self, seat: Seat) -> None:
        """A session is not here any more."""
        with self._turn:
            if self._sessions.get(seat.session) is seat:
                del self._sessions[seat.session]
                self._detaching.pop(seat.session, None)
