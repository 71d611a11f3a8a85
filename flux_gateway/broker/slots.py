"""Which Redis of a cluster is asked for which key."""

from collections.abc import Sequence
from typing import Any, NamedTuple

Address = tuple[str, int]

SLOTS = 16384
"""Slots of a Redis Cluster; the hash of a key, or of what stands in its first braces, chooses one."""


class Range(NamedTuple):
    """Slots that belong to one master, both ends included."""

    first: int
    last: int
    master: Address


class Redirection(NamedTuple):
    """Another Redis is to be asked: from now on (`moved`), or just this once."""

    moved: bool
    slot: int
    address: Address


def parse_slots(reply: Sequence[Any], asked: Address) -> list[Range]:
    """Read the answer to CLUSTER SLOTS. A Redis that does not know its own address leaves it empty: it was asked."""
    ranges = []
    for first, last, (host, port, *_), *_replicas in reply:
        ranges.append(Range(int(first), int(last), ((host or b"").decode() or asked[0], int(port))))
    return ranges


def parse_redirection(text: str, asked: Address) -> Redirection | None:
    """Read an error, `MOVED 3999 127.0.0.1:6381` or `ASK ...`; None if it is another one."""
    kind, _, rest = text.partition(" ")
    if kind not in ("MOVED", "ASK"):
        return None
    slot, _, address = rest.partition(" ")
    host, _, port = address.rpartition(":")
    return Redirection(kind == "MOVED", int(slot), (host or asked[0], int(port)))
