"""Slots: a key hashes to one of 65,536 slots, a slot ranks the nodes (design, section 5).

Weighted rendezvous hashing (HRW): D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998);
weights after J. Resch, "New Hashing Algorithms for Data Storage" (2015): score = weight / -ln(u).

A node's scores for all slots (its *column*) depend on nothing but its id and weight. So a join computes one column and
a leave drops one, and neither can change how the other nodes rank among themselves. A column comes from one call of an
extendable-output hash over the node id. The ranking of a slot is sorted when it is first asked for and kept until
the membership changes, so a lookup is one index, and a membership change does not stop the event loop for long.
"""

import sys
from array import array
from collections.abc import Mapping
from hashlib import blake2b, shake_128
from itertools import repeat
from math import log
from operator import truediv

SLOTS = 65_536

Ranking = tuple[str, ...]


def slot_of(key: bytes) -> int:
    """Return the slot of an affinity key: a stable hash, the same in every process and version."""
    return int.from_bytes(blake2b(key, digest_size=2).digest(), "big")


def column_of(node_id: str, weight: float) -> "array[float]":
    """Return a node's score for each slot. Higher ranks first. `weight` must be above 0."""
    numbers = array("I", shake_128(b"flux-slots-1:" + node_id.encode()).digest(4 * SLOTS))
    if sys.byteorder == "big":
        numbers.byteswap()
    # -ln(u) for u in (0, 1]: the half keeps u away from 0.
    costs = map(log, map(truediv, [n + 0.5 for n in numbers], repeat(2.0**32)))
    return array("d", [-weight / cost for cost in costs])


class Slots:
    """The rankings of all slots for one membership. Update with `assign`, ask with `ranking`."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights: dict[str, float] = {}
        self._columns: dict[str, array[float]] = {}
        self._rankings: list[Ranking | None] = [None] * SLOTS
        if weights:
            self.assign(weights)

    @property
    def weights(self) -> Mapping[str, float]:
        """Node ids and weights these slots were made for."""
        return self._weights

    def assign(self, weights: Mapping[str, float]) -> bool:
        """Make the slots rank exactly these nodes. Returns whether anything changed."""
        if weights == self._weights:
            return False
        self._columns = {
            node_id: self._columns[node_id]
            if self._weights.get(node_id) == weight
            else column_of(node_id, weight)
            for node_id, weight in sorted(weights.items())
        }
        self._weights = dict(weights)
        self._rankings = [None] * SLOTS
        return True

    def ranking(self, slot: int) -> Ranking:
        """Return the node ids for a slot, best first; empty when there are no nodes."""
        ranked = self._rankings[slot]
        if ranked is None:
            columns = self._columns
            # Ties are as good as impossible; ids are in order, and the sort is stable, so even they are decided alike.
            ranked = tuple(sorted(columns, key=lambda node_id: columns[node_id][slot], reverse=True))
            self._rankings[slot] = ranked
        return ranked

    def shares(self) -> dict[str, float]:
        """Return the part of all slots, 0 to 1, for which each node ranks first. Not for the hot path."""
        counts = dict.fromkeys(self._columns, 0)
        ids = list(self._columns)
        for row in zip(*self._columns.values(), strict=True):
            counts[ids[row.index(max(row))]] += 1
        return {node_id: count / SLOTS for node_id, count in counts.items()}
