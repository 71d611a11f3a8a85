"""The states of a node and the transitions between them, as a table (design, section 2)."""

from enum import StrEnum

from flux_gateway.core.errors import FluxError


class NodeState(StrEnum):
    """State of a node as the registry, the link, the CLI and the dashboard show it."""

    STARTING = "STARTING"
    UP = "UP"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    DEAD = "DEAD"
    """Never announced by the node itself: others conclude it when the heartbeat is gone."""


class IllegalTransition(FluxError):
    """A node was asked to go from one state to another that the table does not allow."""


_NEXT: dict[NodeState, frozenset[NodeState]] = {
    NodeState.STARTING: frozenset({NodeState.UP, NodeState.STOPPED}),
    NodeState.UP: frozenset({NodeState.DRAINING, NodeState.STOPPED}),
    NodeState.DRAINING: frozenset({NodeState.UP, NodeState.STOPPED}),
    NodeState.STOPPED: frozenset(),
}


def advance(current: NodeState, wanted: NodeState) -> NodeState:
    """Return `wanted` if a node may go there from `current`, else raise `IllegalTransition`."""
    if wanted not in _NEXT.get(current, frozenset()):
        raise IllegalTransition(f"a node cannot go from {current} to {wanted}")
    return wanted


TAKES_SESSIONS = frozenset({NodeState.UP})
"""States in which a node takes new sessions."""

GONE = frozenset({NodeState.STOPPED, NodeState.DEAD})
"""States in which no process is expected to answer."""
