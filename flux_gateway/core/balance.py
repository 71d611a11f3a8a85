"""Which nodes to try for a slot, in order: ranking, health, bounded load (design, section 5).

Bounded load after V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
"""

from collections.abc import Mapping, Sequence
from math import ceil

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """What routing knows of one node at the moment of a lookup."""

    usable: bool
    """UP by the registry and alive by the link."""
    load: int
    """Connections it holds."""
    weight: float = 1.0
    ramp: float = 1.0
    """Slow start: the part of its capacity, 0 to 1, that a node which has just come back takes."""


def capacities(candidates: Mapping[str, Candidate], factor: float, floor: int) -> dict[str, int]:
    """Return how many connections each usable node may hold before new keys pass it over.

    The bound is `factor` times the node's share of all connections (one more counted, the one to be placed). Below
    `floor` connections no node counts as overloaded: with a handful of clients the mean says nothing, and affinity
    matters more.
    """
    usable = {node_id: c for node_id, c in candidates.items() if c.usable}
    total = sum(c.load for c in usable.values()) + 1
    weights = sum(c.weight for c in usable.values())
    return {
        node_id: max(floor, ceil(factor * total * c.weight / weights * c.ramp))
        for node_id, c in usable.items()
    }


def order(
    ranking: Sequence[str], candidates: Mapping[str, Candidate], bounds: Mapping[str, int]
) -> list[str]:
    """Return the nodes to dial, best first.

    Usable nodes under their bound come first in rank order, then usable ones over it, then all the others: when
    nothing usable is left, trying is better than refusing (fail open).
    """
    under, over, rest = [], [], []
    for node_id in ranking:
        candidate = candidates.get(node_id)
        if candidate is None or not candidate.usable:
            rest.append(node_id)
        elif candidate.load < bounds[node_id]:
            under.append(node_id)
        else:
            over.append(node_id)
    return under + over + rest
