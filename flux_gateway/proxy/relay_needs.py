"""What a relay needs of those around it: its node, its switchboard, the move it is in, and where it came from."""

from typing import Protocol, TypeVar

import msgspec

from flux_gateway.runtime.poller import Poller

R_contra = TypeVar("R_contra", contravariant=True)
"""The relay."""


class Origin(msgspec.Struct, frozen=True):
    """What the opening handshake settled: enough to open the session on another node. Shared by many relays."""

    path: str
    extensions: str
    """The negotiated `Sec-WebSocket-Extensions`, or empty."""


class RelayNode(Protocol):
    """What a relay needs of the node it relays to."""

    bytes_up: int
    bytes_down: int

    @property
    def id(self) -> str:
        """Node id."""


class Transfer(Protocol):
    """What a relay needs of the move that it is in (design, section 7)."""

    def drained(self) -> None:
        """Everything the old node had to say has been read; its connection is closed."""

    def backend_lost(self) -> None:
        """The old node's connection broke before its end had come; it is closed."""

    def silent(self) -> None:
        """The old node has not been heard for too long."""


class Owner(Protocol[R_contra]):
    """What a relay needs of the switchboard that holds it."""

    poller: Poller

    def leave_node(self, relay: R_contra, cause: str) -> None:
        """Nothing goes to or comes from the node any more."""

    def flushing(self, relay: R_contra) -> None:
        """The node is done, and bytes wait for the client: it gets a moment to take some of them."""

    def linger(self, holder: R_contra) -> None:
        """Everything for the client has been sent: half-close, and wait for it to leave."""

    def end(self, relay: R_contra, cause: str) -> None:
        """End both sides at once."""

    def orphaned(self, relay: R_contra) -> None:
        """The node is gone without a word, and its connection is closed: find another one, or give up."""
