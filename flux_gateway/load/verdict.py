"""What must not happen in a load run, and whether it did, in words for people."""

from collections.abc import Mapping
from typing import Any

import msgspec

from flux_gateway.load.counts import Report
from flux_gateway.load.newcomers import NewcomerCounts


class Demands(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a run on top of whole messages and served newcomers."""

    codes: frozenset[int] | None = None
    """Close codes that are explained; a disconnect by any other one breaks the run. None: no code does."""
    closed: int | None = None
    """How many disconnects those codes explain. None: any number."""
    return_within: float | None = None
    """Seconds after which a client that was disconnected must be connected again, and everyone be so at the end."""
    lost: int = 0
    """Messages that may be lost on open connections: those in flight in a process that was killed are."""


NOTHING = Demands()

_MESSAGES = (
    ("doubled", "came back twice"),
    ("reordered", "came back out of order"),
    ("corrupt", "came back changed, or had never been sent"),
)


def broken(report: Report, newcomers: NewcomerCounts | None = None, demands: Demands = NOTHING) -> list[str]:
    """Return what broke, a line each; empty when every invariant held."""
    counts = report.counts
    found = []
    if counts.lost > demands.lost:
        allowed = f"; allowed were {demands.lost:,}" if demands.lost else ""
        found.append(f"{counts.lost:,} messages never came back, though their connection stayed open{allowed}")
    found += [f"{getattr(counts, name):,} messages {text}" for name, text in _MESSAGES if getattr(counts, name)]
    if not counts.received:
        found.append("no message came back")
    if demands.codes is not None:
        unexplained = {code: number for code, number in counts.disconnects.items() if code not in demands.codes}
        expected = ", ".join(map(str, sorted(demands.codes))) or "none"
        found += [
            f"{number:,} clients were closed with {code}{_MEANING.get(code, '')}; expected: {expected}"
            for code, number in sorted(unexplained.items())
        ]
        explained = sum(counts.disconnects.values()) - sum(unexplained.values())
        if demands.closed is not None and explained > demands.closed:
            found.append(f"{explained:,} clients were closed with {expected}; allowed were {demands.closed:,}")
    if demands.return_within is not None:
        if report.slowest_return > demands.return_within:
            found.append(
                f"the slowest client needed {report.slowest_return:.2f} s to be connected again, "
                f"allowed are {demands.return_within:g} s"
            )
        if report.absent:
            found.append(f"{report.absent:,} clients had no connection at the end")
    if newcomers is not None:
        if newcomers.failed:
            found.append(f"{newcomers.failed:,} new clients were not served: {listed(newcomers.causes)}")
        if newcomers.repeated > demands.lost:
            found.append(f"{newcomers.repeated:,} new clients had to ask twice: their question was lost")
        if not newcomers.served:
            found.append("no new client was served")
    return found


_MEANING = {1005: " (no code given)", 1006: " (cut off without a close frame)"}


def listed(counts: Mapping[Any, int]) -> str:
    """Return counts by name, the largest first: `refused 12, timeout 3`."""
    return ", ".join(f"{key or 'unnamed'} {count:,}" for key, count in sorted(counts.items(), key=lambda row: -row[1]))
