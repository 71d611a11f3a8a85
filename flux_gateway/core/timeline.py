"""Events of the cluster's time line: what happened to whom, and when."""

from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """What happened. The words are those the time line shows."""

    JOINED = "joined"
    DRAINING = "draining"
    UNDRAINED = "undrained"
    STOPPED = "stopped"
    DEAD = "dead"
    RECOVERED = "recovered"
    SUSPECT = "suspect"
    """A proxy lost the link to the node and routes around it."""
    LINKED = "linked"
    """A proxy routes to the node again."""
    FORGOTTEN = "forgotten"
    MOVED = "moved"
    """A proxy has moved sessions off the node, which still lives. The detail counts them."""
    REATTACHED = "reattached"
    """A proxy has brought sessions of the node, which is gone, to others. The detail counts them."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the time line. `at` is unix seconds; `subject` a node or proxy id; `by` who announced it."""

    at: float
    kind: EventKind
    subject: str
    by: str
    detail: str = ""
