"""What a proxy knows of each node: registry record, link, and the connections it relays there."""

from collections.abc import Callable

from flux_gateway.core.lifecycle import TAKES_SESSIONS, NodeState
from flux_gateway.core.link import Status, ToNode
from flux_gateway.core.liveness import LinkHealth, LinkPolicy, LinkState
from flux_gateway.core.membership import NodeRecord
from flux_gateway.proxy.relay import Relay


class Node:
    """One gateway node as this proxy sees it. Implements `core.balance.Candidate`."""

    def __init__(self, record: NodeRecord, policy: LinkPolicy, now: float = 0.0) -> None:
        """`now`: monotonic seconds."""
        self.record = record
        self.known_at = now
        self.health = LinkHealth(policy)
        self.relays: dict[Relay, None] = {}
        self.opening = 0
        """Handshakes this proxy is waiting for."""
        self.overtaken: dict[str, int] = {}
        """Sessions attached elsewhere while this node was out of reach, with their fencing numbers: to be dropped."""
        self.say: Callable[[ToNode], None] | None = None
        """Sends a message over the link; None while there is no link."""
        self.ramp = 1.0
        self.dial_failures = 0
        self.opened = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._told_state: NodeState | None = None
        self._told_load = 0
        self._own_when_told = 0

    @property
    def id(self) -> str:
        """Node id."""
        return self.record.id

    @property
    def state(self) -> NodeState:
        """The link's word while there is a link, else the registry's."""
        if self.health.state is LinkState.UP and self._told_state is not None:
            return self._told_state
        return self.record.state

    @property
    def usable(self) -> bool:
        """Whether new sessions should go here."""
        return self.health.state is LinkState.UP and self.state in TAKES_SESSIONS

    def silence(self, now: float) -> float:
        """Return the seconds since the node was heard last, or since this proxy has known of it."""
        return now - max(self.health.heard_at, self.known_at)

    @property
    def own(self) -> int:
        """Connections this proxy has brought here, open or opening."""
        return len(self.relays) + self.opening

    @property
    def load(self) -> int:
        """All connections of the node: what it told last, corrected by what this proxy has changed since."""
        return max(self.own, self._told_load + self.own - self._own_when_told)

    @property
    def weight(self) -> float:
        """Share relative to other nodes."""
        return self.record.weight

    def told(self, status: Status) -> None:
        """The node spoke over the link."""
        self._told_state = status.state
        self._told_load = status.connections
        self._own_when_told = self.own
        self.health.planned = status.state not in TAKES_SESSIONS


def node_of(relay: Relay) -> Node:
    """Return the node a relay is at. A relay itself knows only as much of it as it needs."""
    node = relay.node
    assert isinstance(node, Node)
    return node
