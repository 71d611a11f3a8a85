"""Sessions that leave this node for another, and copies that others have overtaken (design, section 7)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from flux_gateway.core import frozen
from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.errors import HttpError, Unmovable
from flux_gateway.core.link import Detaching, Refused, Released, ToProxy
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.counters import NodeCounters

Say = Callable[[ToProxy], None]
"""Sends a message to one proxy, in order; nothing happens when its link is gone."""

_PATIENCE = 10.0
"""Seconds that the end of a stream is taken as a move's barrier, after the node has agreed to it."""


class Owner(Protocol):
    """What moves need of the node."""

    counters: NodeCounters

    def now(self) -> float:
        """Monotonic seconds."""

    def let_go(self, connection: Connection) -> None:
        """The session is not here any more: forget it without calling it closed."""


class Moves:
    """Knows the sessions of a node by id, and which of them a proxy is about to fetch."""

    def __init__(self, node: Owner) -> None:
        self._node = node
        self._sessions: dict[str, Connection] = {}
        self._detaching: Deadlines[Connection] = Deadlines(_PATIENCE)

    def add(self, connection: Connection) -> None:
        """A session has opened or been attached."""
        self._sessions[connection.session.id] = connection

    def discard(self, connection: Connection) -> None:
        """A session is over, or somewhere else."""
        session_id = connection.session.id
        if self._sessions.get(session_id) is connection:
            del self._sessions[session_id]
        self._detaching.discard(connection)

    # Leaving.

    def detach(self, session_ids: Sequence[str], say: Say) -> None:
        """A proxy wants to move these sessions: answer which of them can."""
        able, refused, now = [], {}, self._node.now()
        for session_id in session_ids:
            connection = self._sessions.get(session_id)
            if connection is None:
                refused[session_id] = "unknown"
            elif connection.session.objection:
                refused[session_id] = connection.session.objection
            elif connection.blocked:
                # Its output could not be brought to an end: a client that does not read would hold the move up.
                refused[session_id] = "slow client"
            else:
                connection.proxy = say
                self._detaching.add(connection, now)
                able.append(session_id)
        if able:
            say(Detaching(able))
        if refused:
            say(Refused(refused))

    def release(self, connection: Connection) -> bool:
        """The stream of a detaching session has ended: hand the session to its proxy. Returns False if it stays."""
        say = connection.proxy
        if say is None:
            return False
        session = connection.session
        if self._sessions.get(session.id) is not connection:
            return False  # dropped, or lost, while it finished what it was at
        try:
            kept, residual = session.freeze()
        except Unmovable as error:
            self._node.counters.release_refused[str(error)] += 1
            say(Refused({session.id: str(error)}))
            return False
        say(Released(session.id, frozen.encode(kept), residual))
        self._node.counters.released += 1
        self._node.let_go(connection)
        return True

    def expire(self, now: float) -> None:
        """What was agreed on and did not happen in time is off: the end of the stream is the client's again."""
        for connection in self._detaching.expired(now):
            connection.proxy = None

    def link_closed(self, say: Say) -> None:
        """A proxy's link is gone, and with it whatever was agreed on over it."""
        for connection in [one for one in self._detaching if one.proxy == say]:
            connection.proxy = None
            self._detaching.discard(connection)

    # Fencing.

    def make_way(self, session_id: str, fence: int) -> None:
        """A session is to be attached here with a fencing number: an older copy goes without a word.

        Raises `HttpError` 409 when the copy that is here is the newer one.
        """
        held = self._sessions.get(session_id)
        if held is None:
            return
        if held.session.fence >= fence:
            raise HttpError(409, f"session {session_id} is here already, with fencing number {held.session.fence}")
        self._drop(held)

    def drop(self, fences: Mapping[str, int]) -> None:
        """These sessions were attached elsewhere: let go of copies with a lower fencing number."""
        for session_id, fence in fences.items():
            held = self._sessions.get(session_id)
            if held is not None and held.session.fence < fence:
                self._drop(held)

    def _drop(self, connection: Connection) -> None:
        self._node.counters.dropped += 1
        if connection.session.application is not None:
            connection.session.application.dropped()
        self._node.let_go(connection)
        connection.transport.abort()
