"""The JSON that leaves the dashboard: the whole cluster at `/api/cluster`, and the messages of the stream."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from flux_gateway.dashboard.history import Columns
from flux_gateway.dashboard.view import ClusterView, NodeView, NumberedEvent, ProxyView


def cluster(view: ClusterView, now: float, history: Callable[[str], Columns] | None = None) -> dict[str, Any]:
    """Return the whole view: what `/api/cluster` answers (with `history`) and a stream begins with (without).

        version      rises with every change
        now, as_of   unix seconds: now, and of the last whole read of the registry (0: none yet)
        stale        true when Redis does not answer; everything else is then the last known
        problem      why it is stale, else ""
        age          seconds since `as_of`; null when there was no read yet
        nodes        list of `NodeView` + `heartbeat_age` (seconds, null: none) + `history` (columns, oldest first)
        proxies      list of `ProxyView` + `heartbeat_age`
        events       list of `Event` + `number`, newest first
    """
    nodes = [_member(node, view, now) for node in view.nodes.values()]
    if history:
        for node in nodes:
            node["history"] = history(node["id"])
    return {
        "version": view.version,
        **_freshness(view, now),
        "nodes": nodes,
        "proxies": [_member(proxy, view, now) for proxy in view.proxies.values()],
        "events": [_event(entry) for entry in reversed(view.events)],
    }


def update(before: ClusterView, after: ClusterView, now: float) -> dict[str, Any]:
    """Return only what differs. `gone` lists the ids of nodes and proxies that are no more; order is the registry's."""
    shown = before.events[-1].number if before.events else 0
    return {
        "version": after.version,
        **_freshness(after, now),
        "nodes": [_member(node, after, now) for node in _changed(before.nodes, after.nodes)],
        "proxies": [_member(proxy, after, now) for proxy in _changed(before.proxies, after.proxies)],
        "gone": sorted((before.nodes.keys() - after.nodes.keys()) | (before.proxies.keys() - after.proxies.keys())),
        "events": [_event(entry) for entry in reversed(after.events) if entry.number > shown],
    }


def tick(view: ClusterView, now: float) -> dict[str, Any]:
    """Return the sign of life of a stream that has nothing new."""
    return {"version": view.version, **_freshness(view, now)}


def _freshness(view: ClusterView, now: float) -> dict[str, Any]:
    return {
        "now": round(now, 3),
        "as_of": round(view.as_of, 3),
        "stale": view.stale,
        "problem": view.problem,
        "age": round(max(0.0, now - view.as_of), 2) if view.as_of else None,
    }


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Any]:
    return [member for member in after.values() if before.get(member.id) != member]


def _member(member: NodeView | ProxyView, view: ClusterView, now: float) -> dict[str, Any]:
    fields = msgspec.structs.asdict(member)
    age = view.ages.get(member.id)
    # What was read some time ago has aged since.
    fields["heartbeat_age"] = None if age is None else round(age + max(0.0, now - view.as_of), 2)
    return fields


def _event(entry: NumberedEvent) -> dict[str, Any]:
    return {"number": entry.number, **msgspec.structs.asdict(entry.event)}
