"""Who is in the cluster: records, and the immutable snapshot of all of them."""

import msgspec

from flux_gateway.core.lifecycle import NodeState


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself in the registry (design, section 4). Times are unix seconds."""

    id: str
    host: str
    port: int
    admin_port: int
    state: NodeState
    weight: float = 1.0
    version: str = ""
    connections: int = 0
    started_at: float = 0.0
    heartbeat_at: float = 0.0
    rss: int = 0
    """Resident set size in bytes."""
    cpu: float = 0.0
    """Percent of one core since the last heartbeat."""
    messages_in: float = 0.0
    """Messages received a second since the last heartbeat."""
    messages_out: float = 0.0
    """Messages sent a second since the last heartbeat."""
    lag: float = 0.0
    """Worst event-loop delay since the last heartbeat, seconds."""
    pid: int = 0


class ProxyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy says of itself in the registry. `links` maps node id to `up`, `suspect` or `down`."""

    id: str
    host: str
    port: int
    admin_host: str
    admin_port: int
    state: NodeState
    version: str = ""
    connections: int = 0
    started_at: float = 0.0
    heartbeat_at: float = 0.0
    rss: int = 0
    cpu: float = 0.0
    pid: int = 0
    links: dict[str, str] = {}
    nodes: dict[str, int] = {}
    """Connections this proxy relays to each node, by node id."""
    moves: dict[str, int] = {}
    """Sessions it has moved since its start: `move` (planned), `reattach` (the node was gone), `failed`."""


class Snapshot(msgspec.Struct, frozen=True):
    """One whole view of the registry. `nodes` and `proxies` are keyed by id; absent ages mean no heartbeat."""

    nodes: dict[str, NodeRecord] = {}
    proxies: dict[str, ProxyRecord] = {}
    heartbeat_age: dict[str, float] = {}
    """Seconds since the last heartbeat by id, taken from the key's remaining life, so free of clock skew."""
