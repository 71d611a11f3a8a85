"""What the dashboard shows: one immutable view of the cluster, made from a registry snapshot. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from flux_gateway.core.lifecycle import GONE, TAKES_SESSIONS, NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot
from flux_gateway.core.timeline import Event


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node. Units: connections; messages a second; percent of one core; bytes; seconds; unix seconds."""

    id: str
    state: NodeState
    """As announced, but DEAD when the heartbeat is gone."""
    suspected_by: tuple[str, ...]
    """Proxies that are alive and cannot reach the node over their link."""
    host: str
    port: int
    weight: float
    version: str
    connections: int
    messages_in: float
    messages_out: float
    cpu: float
    rss: int
    lag: float
    slots_share: float | None
    """Part of all slots, 0 to 1, whose new keys the node gets now. None until it is counted."""
    started_at: float
    heartbeat_at: float


class ProxyView(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy. `links`: node id -> up, suspect or down; `nodes`: node id -> connections.

    `moves`: sessions since its start, by `move` (planned), `reattach` (the node was gone) and `failed`.
    """

    id: str
    state: NodeState
    host: str
    port: int
    version: str
    connections: int
    cpu: float
    rss: int
    links: dict[str, str]
    nodes: dict[str, int]
    moves: dict[str, int]
    started_at: float
    heartbeat_at: float


class NumberedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the time line with a number that rises by one, so that a page knows what it has already shown."""

    number: int
    event: Event


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the dashboard knows at one moment."""

    version: int = 0
    """Rises with every change."""
    nodes: dict[str, NodeView] = {}
    proxies: dict[str, ProxyView] = {}
    ages: dict[str, float] = {}
    """Seconds since the last heartbeat at `as_of`, by id; absent when there is none."""
    events: tuple[NumberedEvent, ...] = ()
    """Oldest first."""
    as_of: float = 0.0
    """Unix seconds of the last whole read of the registry; 0 when there was none yet."""
    problem: str = "Redis has not answered yet"
    """Why the data is stale; empty when it is not."""

    @property
    def stale(self) -> bool:
        """Whether the registry does not answer, so that everything here is the last known."""
        return bool(self.problem)


def concluded(record: NodeRecord | ProxyRecord, ages: Mapping[str, float]) -> NodeState:
    """Return the state to show: who has no heartbeat and did not stop is dead (design, section 2)."""
    if record.state in GONE or record.id in ages:
        return record.state
    return NodeState.DEAD


def taking_weights(snapshot: Snapshot) -> dict[str, float]:
    """Return the weights of the nodes that take new keys: the membership whose slots are worth counting."""
    return {
        node.id: node.weight
        for node in snapshot.nodes.values()
        if node.weight > 0 and concluded(node, snapshot.heartbeat_age) in TAKES_SESSIONS
    }


def build(
    snapshot: Snapshot,
    *,
    shares: Mapping[str, float] | None,
    events: Sequence[NumberedEvent],
    as_of: float,
) -> ClusterView:
    """Return the view of one snapshot. `shares` is None while they are being counted."""
    ages = snapshot.heartbeat_age
    suspicions = _suspicions(snapshot)
    return ClusterView(
        nodes={
            node.id: _node(node, concluded(node, ages), suspicions.get(node.id, ()), shares)
            for node in snapshot.nodes.values()
        },
        proxies={proxy.id: _proxy(proxy, concluded(proxy, ages)) for proxy in snapshot.proxies.values()},
        ages=ages,
        events=tuple(events),
        as_of=as_of,
        problem="",
    )


def same(one: ClusterView, other: ClusterView) -> bool:
    """Whether two views show the same, apart from time having passed."""
    return (
        one.nodes == other.nodes
        and one.proxies == other.proxies
        and one.events == other.events
        and one.problem == other.problem
    )


def _suspicions(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for proxy in snapshot.proxies.values():
        if concluded(proxy, snapshot.heartbeat_age) in GONE:
            continue  # what a proxy said before it went is no longer a judgement
        for node_id, link in proxy.links.items():
            node = snapshot.nodes.get(node_id)
            if link != "up" and node and concluded(node, snapshot.heartbeat_age) not in GONE:
                found[node_id] = (*found.get(node_id, ()), proxy.id)
    return found


def _node(
    record: NodeRecord, state: NodeState, suspected_by: tuple[str, ...], shares: Mapping[str, float] | None
) -> NodeView:
    return NodeView(
        id=record.id,
        state=state,
        suspected_by=suspected_by,
        host=record.host,
        port=record.port,
        weight=record.weight,
        version=record.version,
        connections=record.connections,
        messages_in=round(record.messages_in, 1),
        messages_out=round(record.messages_out, 1),
        cpu=round(record.cpu, 1),
        rss=record.rss,
        lag=round(record.lag, 4),
        slots_share=None if shares is None else round(shares.get(record.id, 0.0), 5),
        started_at=record.started_at,
        heartbeat_at=record.heartbeat_at,
    )


def _proxy(record: ProxyRecord, state: NodeState) -> ProxyView:
    return ProxyView(
        id=record.id,
        state=state,
        host=record.host,
        port=record.port,
        version=record.version,
        connections=record.connections,
        cpu=round(record.cpu, 1),
        rss=record.rss,
        links=record.links,
        nodes=record.nodes,
        moves=record.moves,
        started_at=record.started_at,
        heartbeat_at=record.heartbeat_at,
    )
