"""The router: from an affinity key to the nodes to dial, and the membership behind it."""

from collections.abc import Callable, Iterator

from flux_gateway.core.balance import Bounds, order
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.liveness import LinkPolicy, LinkState
from flux_gateway.core.membership import NodeRecord, Snapshot
from flux_gateway.core.slots import Ranking, Slots
from flux_gateway.proxy.nodes import Node

_ADMIN_PORT = 7100
"""Where a node listens for links unless the registry says otherwise (design, section 3)."""

LostListener = Callable[[Node, bool], None]
"""Called with (node, dead): its link fell, or has been away so long that its clients are let go."""


class Router:
    """Knows the nodes and ranks them. Changes with the registry's snapshots and with the links."""

    def __init__(self, bounds: Bounds, policy: LinkPolicy) -> None:
        self.nodes: dict[str, Node] = {}
        self.known = False
        """Whether a snapshot has ever been read."""
        self.bounds = bounds
        self._policy = policy
        self._slots = Slots()
        self._listeners: list[LostListener] = []

    def on_lost(self, listener: LostListener) -> None:
        """Call the listener when a node is lost."""
        self._listeners.append(listener)

    def lost(self, node: Node, dead: bool) -> None:
        """Tell the listeners that a node is lost."""
        for listener in self._listeners:
            listener(node, dead)

    def targets(self, slot: int) -> Iterator[Node]:
        """Yield the nodes to dial for a slot, best first; nothing when no node is known."""
        return (self.nodes[node_id] for node_id in order(self._slots.ranking(slot), self.nodes, self.bounds))

    def ranking(self, slot: int) -> Ranking:
        """Return the ids of all known nodes for a slot, best first."""
        return self._slots.ranking(slot)

    def usable(self) -> list[Node]:
        """Return the nodes that take new sessions."""
        return [node for node in self.nodes.values() if node.usable]

    def assume(self, node_id: str, address: tuple[str, int], now: float) -> Node:
        """Add a node that is known only by a connection to it; the next snapshot tells the truth."""
        host, port = address
        record = NodeRecord(id=node_id, host=host, port=port, admin_port=_ADMIN_PORT, state=NodeState.UP)
        node = self.nodes[node_id] = Node(record, self._policy, now)
        return node

    def update(self, snapshot: Snapshot, now: float = 0.0) -> tuple[list[Node], list[Node]]:
        """Take a new snapshot over at monotonic time `now`. Returns (nodes that joined, nodes that left).

        A node that the registry has lost stays as long as its link is up: a registry that comes back empty must not
        take working nodes out of routing.
        """
        self.known = True
        joined: list[Node] = []
        for record in snapshot.nodes.values():
            node = self.nodes.get(record.id)
            if node is None:
                node = self.nodes[record.id] = Node(record, self._policy, now)
                joined.append(node)
            node.record = record
        left = [
            node
            for node_id, node in self.nodes.items()
            if node_id not in snapshot.nodes and node.health.state is not LinkState.UP and not node.own
        ]
        for node in left:
            del self.nodes[node.id]
        self._slots.assign({node_id: node.weight for node_id, node in self.nodes.items()})
        return joined, left
