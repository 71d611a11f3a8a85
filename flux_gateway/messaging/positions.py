"""Positions in a channel's stream, and whether a client that was away gets all it has missed (facts, section 9)."""

from collections.abc import Sequence
from typing import NamedTuple

from flux_gateway.messaging.publication import Publication


class Position(NamedTuple):
    """A place in a stream: `offset` counts its publications from 1, 0 is before the first; `epoch` names the stream."""

    offset: int
    epoch: str


class Recovery(NamedTuple):
    """What to answer to a client that wants to recover.

    `publications` come after the answer's `offset`, from which the client counts on by itself. Without recovery there
    are none, and `offset` is the stream's top.
    """

    recovered: bool
    publications: tuple[Publication, ...]
    offset: int


def recover(
    entries: Sequence[Publication], requested: Position, top: Position, limit: int, *, cache: bool = False
) -> Recovery:
    """Judge what a stream holds after `requested`.

    `entries` in stream mode: those after the requested offset, in order, at least `limit` + 1 of them if there are so
    many. In `cache` mode, where only the newest counts: the newest, if there is one. An empty epoch in the request is
    any epoch.
    """
    if cache:
        return _newest(entries, requested, top)
    missed = tuple(entry for entry in entries if entry.offset > requested.offset)
    same = requested.epoch in ("", top.epoch)
    whole = (
        missed[0].offset == requested.offset + 1 and missed[-1].offset == top.offset
        if missed
        else requested.offset == top.offset
    )
    if same and whole and len(missed) <= limit:
        return Recovery(True, missed, requested.offset)
    return Recovery(False, (), top.offset)


def _newest(entries: Sequence[Publication], requested: Position, top: Position) -> Recovery:
    """Whatever was missed, the newest makes up for it; also in another epoch."""
    current = requested == top and top.offset > 0
    if current or not entries:
        return Recovery(current, (), top.offset)
    newest = entries[-1]
    return Recovery(True, (newest,), newest.offset - 1)
