"""Which nodes to try for a slot, in order: ranking, health, bounded load (design, section 5).

Bounded load after V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
"""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Protocol

import msgspec


class Candidate(Protocol):
    """What routing knows of one node at the moment of a lookup."""

    @property
    def usable(self) -> bool:
        """UP, and alive by the link."""

    @property
    def load(self) -> int:
        """Connections it holds, as far as this proxy knows."""

    @property
    def weight(self) -> float:
        """Its share, relative to the others."""

    @property
    def ramp(self) -> float:
        """Slow start: the part of its capacity, 0 to 1, that a node which has just come back takes."""


class Bounds(msgspec.Struct, frozen=True):
    """How bounded load is bounded."""

    factor: float = 1.25
    """A node above this many times its share of all connections takes no new keys."""
    floor: int = 32
    """Below this many connections no node counts as overloaded: with a handful of clients the mean says nothing,
    and affinity matters more."""

    def of(self, node: Candidate, total: int, weights: float, ramp: float = 1.0) -> int:
        """Return how many connections of `total` a node may hold, when all weights together are `weights`."""
        return max(self.floor, ceil(self.factor * total * node.weight / weights * ramp))


def order(ranking: tuple[str, ...], candidates: Mapping[str, Candidate], bounds: Bounds) -> Iterator[str]:
    """Yield the nodes to dial, best first.

    Usable nodes under their bound come first in rank order, then usable ones over it, then all the others: when
    nothing usable is left, trying is better than refusing (fail open).
    """
    usable = {node_id: node for node_id, node in candidates.items() if node.usable}
    total = 1 + sum(node.load for node in usable.values())
    weights = sum(node.weight for node in usable.values())
    full: list[str] = []
    for node_id in ranking:
        node = usable.get(node_id)
        if node is not None:
            if node.load < bounds.of(node, total, weights, node.ramp):
                yield node_id
            else:
                full.append(node_id)
    yield from full
    yield from (node_id for node_id in ranking if node_id not in usable and node_id in candidates)
