"""What a relay needs of those around it: its node, its switchboard, the move it is in, and where it came from."""

from typing import TYPE_CHECKING, Protocol

import msgspec

from flux_gateway.runtime.poller import Poller

if TYPE_CHECKING:
    from flux_gateway.proxy.relay import Relay


class Origin(msgspec.Struct, frozen=True):
    """What the opening handshake settled: enough to open the session on another node. Shared by many relays."""

    path: str
    extensions: str
    """The negotiated `Sec-WebSocket-Extensions`, or empty."""


class RelayNode(Protocol):
    """What a relay needs of the node it relays to."""

    relays: dict["Relay", None]
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


class Owner(Protocol):
    """What a relay needs of the switchboard that holds it."""

    poller: Poller

    def leave_node(self, relay: "Relay", cause: str) -> None:
        """Nothing goes to or comes from the node any more."""

    def flushing(self, relay: "Relay") -> None:
        """The node is done, and bytes wait for the client: it gets a moment to take some of them."""

    def linger(self, holder: "Relay") -> None:
        """Everything for the client has been sent: half-close, and wait for it to leave."""

    def end(self, relay: "Relay", cause: str) -> None:
        """End both sides at once."""

    def orphaned(self, relay: "Relay") -> None:
        """The node is gone without a word, and its connection is closed: find another one, or give up."""
