"""A ticket lets a proxy attach a session to a node: signed with the cluster's secret, for one session, for a moment.

On the wire, as the value of the PROXY header's TLV `core.proxy_protocol.TICKET`: a MessagePack array, then its
HMAC-SHA256 (RFC 2104). The state that follows the header is bound to the ticket by its digest.
"""

from hashlib import sha256
from hmac import compare_digest, digest
from typing import Annotated

import msgspec
from msgspec import Meta

from flux_gateway.core.errors import TicketError
from flux_gateway.core.frozen import LIMIT

_MAC = 32
_PURPOSE = b"flux-gateway: ticket to attach a session, version 1"


class Ticket(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a proxy vouches for. `fence` is the number of the attach, `expires` is unix seconds.

    `reason` is "move" or "reattach"; `state_size` bytes of state follow the header. `sign` fills in size and digest.
    """

    session: str
    fence: Annotated[int, Meta(ge=0)]
    expires: float
    reason: Annotated[str, Meta(pattern="^(move|reattach)$")]
    state_size: Annotated[int, Meta(ge=0, le=LIMIT)] = 0
    digest: bytes = b""
    """SHA-256 of the state."""


def sign(ticket: Ticket, state: bytes, secret: bytes) -> bytes:
    """Return the TLV's value for a ticket and the state that follows. Raises `TicketError` without a secret."""
    bound = msgspec.structs.replace(ticket, state_size=len(state), digest=sha256(state).digest())
    head = msgspec.msgpack.encode(bound)
    return head + _mac(head, secret)


def verify(value: bytes, session: str, secret: bytes, now: float) -> Ticket:
    """Return the ticket in a TLV's value, if it is genuine, for this session, and not expired at unix time `now`.

    Raises `TicketError`. The state is not here yet: give it to `check_state` when it is.
    """
    head, mac = value[:-_MAC], value[-_MAC:]
    if not compare_digest(mac, _mac(head, secret)):
        raise TicketError("ticket not signed with this cluster's secret: give proxies and nodes the same token")
    try:
        ticket = msgspec.msgpack.decode(head, type=Ticket)
    except msgspec.DecodeError as error:
        raise TicketError(f"ticket of another version: {error}") from error
    if ticket.session != session:
        raise TicketError("ticket is for another session")
    # A NaN is never later than now.
    if not ticket.expires > now:
        raise TicketError(f"ticket expired {now - ticket.expires:.1f} s ago: compare the clocks of proxy and node")
    return ticket


def check_state(ticket: Ticket, state: bytes) -> None:
    """Raise `TicketError` unless `state` is the one that a verified ticket was signed for."""
    if not compare_digest(ticket.digest, sha256(state).digest()):
        raise TicketError("state is not the one the ticket was signed for")


def _mac(head: bytes, secret: bytes) -> bytes:
    if not secret:
        raise TicketError("there is no cluster secret, and without it no ticket: set token_file")
    # A key of its own, so that nothing else signed with the secret can pass for a ticket.
    return digest(digest(secret, _PURPOSE, "sha256"), head, "sha256")
