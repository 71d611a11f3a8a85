"""A session that comes from another node: its ticket is judged, its state thawed (design, sections 6 and 7)."""

from typing import Protocol

from flux_gateway.core import frozen, ticket
from flux_gateway.core.errors import HttpError, ThawError, TicketError
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.proxy_protocol import TICKET, ProxyHeader
from flux_gateway.core.session import Endpoint, Session
from flux_gateway.core.ticket import Ticket
from flux_gateway.gateway.counters import NodeCounters
from flux_gateway.gateway.endpoints import Stateful
from flux_gateway.gateway.moves import Moves
from flux_gateway.gateway.settings import GatewaySettings


class Owner(Protocol):
    """What an attach needs of the node."""

    settings: GatewaySettings
    counters: NodeCounters
    endpoints: dict[str, Endpoint]
    stateful: dict[str, Stateful]
    moves: Moves
    secret: bytes

    def check_admission(self) -> None:
        """Raise `HttpError` 503 when no session may come here."""

    def wall_clock(self) -> float:
        """Unix seconds."""


def judge(node: Owner, header: ProxyHeader) -> Ticket:
    """Return the ticket of a PROXY header. Raises `HttpError` 403 when it is none, or not for this session."""
    if not node.secret:
        raise HttpError(403, "this node has no token_file, so it cannot judge tickets")
    try:
        return ticket.verify(header.tlvs[TICKET], header.session_id, node.secret, node.wall_clock())
    except TicketError as error:
        raise HttpError(403, f"ticket refused: {error}") from error


def thaw(node: Owner, header: ProxyHeader, judged: Ticket, state: bytes) -> Session:
    """Return the session that the state describes.

    Raises `HttpError`: 403 when the state is not what was signed, 409 when a newer copy is here, and 503 when the
    session must go to another node, for instance because a newer version froze it.
    """
    try:
        ticket.check_state(judged, state)
        kept = frozen.decode(state)
    except TicketError as error:
        raise HttpError(403, f"ticket refused: {error}") from error
    except ThawError as error:
        raise HttpError(503, str(error)) from error
    if kept.session != judged.session:
        raise HttpError(403, "ticket refused: it is for another session")
    node.check_admission()
    try:
        session = _thaw(node, kept)
    except ThawError as error:
        raise HttpError(503, str(error)) from error
    node.moves.make_way(kept.session, judged.fence)
    session.fence = judged.fence
    session.moves += 1
    # The pong may have been on its way to the other node; this one asks anew when its time comes.
    session.awaiting_pong = False
    return session


def _thaw(node: Owner, kept: Frozen) -> Session:
    settings, traffic = node.settings, node.counters.traffic
    stateful = node.stateful.get(kept.path)
    if stateful is not None:
        application = stateful.thaw(kept)
        return Session.thaw(
            kept, application, max_size=stateful.max_message, traffic=traffic, application=application
        )
    endpoint = node.endpoints.get(kept.path)
    if endpoint is None:
        raise ThawError(f"this node has no endpoint {kept.path}")
    return Session.thaw(kept, endpoint, max_size=settings.max_message, traffic=traffic)
