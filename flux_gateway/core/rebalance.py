"""Which sessions should move now that the nodes have changed, where to, and how fast (design, sections 5 and 7).

A plan follows the rules of `core.balance.order`, for the sessions there are instead of one that comes: each goes to the
first usable node of its ranking that is under its bound. The plan is made of steps that each improve something, until
no such step is left, and rests on sums that no move changes (all sessions, other proxies' load). So a plan that has
been carried out leaves nothing to plan, and a session that is well placed stays.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from math import ceil, floor
from typing import Generic, TypeVar

from flux_gateway.core.balance import Bounds, Candidate

SHARE = 0.10
"""Part of all sessions that may move in a minute, unless told otherwise."""

Key = TypeVar("Key")
"""What the caller knows a session by."""


class _Session(Generic[Key]):
    __slots__ = ("at", "home", "key", "place", "ranking")

    def __init__(self, key: Key, home: str, ranking: tuple[str, ...]) -> None:
        self.key = key
        self.home = home
        self.ranking = ranking
        """Usable nodes alone."""
        self.at = home
        self.place = ranking.index(home) if home in ranking else len(ranking)
        """Index of `at` in the ranking; its length for a session on a node that is not usable."""


class _Plan(Generic[Key]):
    """Loads and bounds while sessions are moved on paper. All mappings are by node id, usable nodes only."""

    def __init__(
        self,
        sessions: Iterable[tuple[Key, int, str]],
        ranking: Callable[[int], tuple[str, ...]],
        candidates: Mapping[str, Candidate],
        bounds: Bounds,
        ramped: bool,
    ) -> None:
        usable = {node_id: node for node_id, node in candidates.items() if node.usable}
        everybody = list(sessions)
        at = Counter(home for _, _, home in everybody)
        self.own = {node_id: at[node_id] for node_id in usable}
        self.load = {node_id: max(node.load, self.own[node_id]) for node_id, node in usable.items()}
        displaced = len(everybody) - sum(self.own.values())
        total = sum(self.load.values()) + displaced
        weights = sum(node.weight for node in usable.values())
        self.bound = {node_id: bounds.of(node, total, weights) for node_id, node in usable.items()}
        """Load over which a node gives sessions away."""
        self.ready = {
            node_id: bounds.of(node, total, weights, node.ramp if ramped else 1.0) for node_id, node in usable.items()
        }
        """Load up to which a node takes more. What it has already it keeps while it starts slowly."""
        mine = len(everybody) / total if total else 1.0
        # Several proxies see the same node over its bound. Each gives away what it has above its part of the bound;
        # if each gave away all that is too much, they would empty the node and fill it again, by turns. Rounded up: one
        # session a proxy over the bound is better than one that goes to and fro.
        self.part = {node_id: ceil(bound * mine) for node_id, bound in self.bound.items()}
        self.over = {node_id for node_id in usable if self.load[node_id] > self.bound[node_id]}
        """Nodes over their bound before any move."""
        self.sessions = [
            _Session(key, home, tuple(node_id for node_id in ranking(slot) if node_id in usable))
            for key, slot, home in everybody
            if ranking(slot)[:1] != (home,) or home in self.over or home not in usable
        ]
        """Those that might move. Most sessions are well placed at nearly all times, and cost next to nothing here."""
        self._waiting: dict[str, deque[_Session[Key]]] = {node_id: deque() for node_id in usable}

    def improve(self) -> None:
        """Move each session to the best node with room. First choices go before second ones, and so on."""
        unsettled, level = [session for session in self.sessions if session.place > 0], 0
        while unsettled:
            for session in unsettled:
                if level < session.place:
                    if self._has_room(session.ranking[level]):
                        self._move(session, level)
                    else:
                        self._waiting[session.ranking[level]].append(session)
            level += 1
            unsettled = [session for session in unsettled if session.place > level]

    def house(self) -> None:
        """Move what is still on a node that is not usable to its first choice: over the bound, but served."""
        for session in self.sessions:
            if session.ranking and session.place == len(session.ranking):
                self._move(session, 0)

    def relieve(self) -> None:
        """Move sessions from nodes over their bound to the next rank with room, those first that rank the node low."""
        over = {node_id for node_id in self.load if self.load[node_id] > self.bound[node_id]}
        leaving = [session for session in self.sessions if session.at in over] if over else []
        for session in sorted(leaving, key=lambda one: one.place, reverse=True):
            node_id = session.at
            if self.load[node_id] <= self.bound[node_id] or self.own[node_id] <= self.part[node_id]:
                continue
            for place, other in enumerate(session.ranking):
                if self._has_room(other):
                    self._move(session, place)
                    break

    def _has_room(self, node_id: str) -> bool:
        return self.load[node_id] < self.ready[node_id]

    def _move(self, session: _Session[Key], place: int) -> None:
        """Move a session, into the room it leaves one that has been waiting for it, and so on."""
        left = self._shift(session, place)
        while left is not None and self._has_room(left) and self._waiting[left]:
            waiting = self._waiting[left].popleft()
            place = waiting.ranking.index(left)
            if place < waiting.place:
                left = self._shift(waiting, place)

    def _shift(self, session: _Session[Key], place: int) -> str | None:
        """Move one session. Returns the usable node it has left."""
        left, node_id = session.at, session.ranking[place]
        session.at, session.place = node_id, place
        self.load[node_id] += 1
        self.own[node_id] += 1
        if left not in self.load:
            return None
        self.load[left] -= 1
        self.own[left] -= 1
        return left


def plan(
    sessions: Iterable[tuple[Key, int, str]],
    ranking: Callable[[int], tuple[str, ...]],
    candidates: Mapping[str, Candidate],
    bounds: Bounds,
    *,
    ramped: bool = True,
) -> list[tuple[Key, str]]:
    """Return (key, id of the node to move to) for the sessions of one proxy that are not where they belong.

    `sessions` are (key, slot, id of the node it is on), all that this proxy has: what a candidate's load is more than
    that belongs to other proxies, and stays. `ramped`: whether the slow start of a node counts; without it a node
    that has just come is filled at once. Most urgent first: off nodes that are not usable, then off nodes over their
    bound, then the rest. Empty when no node is usable.
    """
    made = _Plan(sessions, ranking, candidates, bounds, ramped)
    made.improve()
    made.house()
    made.relieve()
    moved = [session for session in made.sessions if session.at != session.home]
    moved.sort(key=lambda one: 0 if one.home not in made.load else 1 if one.home in made.over else 2)
    return [(session.key, session.at) for session in moved]


def overload(candidates: Mapping[str, Candidate], bounds: Bounds) -> int:
    """Return how many sessions usable nodes hold above their bounds: these need not wait for the pace."""
    usable = [node for node in candidates.values() if node.usable]
    total = sum(node.load for node in usable)
    weights = sum(node.weight for node in usable)
    return sum(max(0, node.load - bounds.of(node, total, weights)) for node in usable)


class Pace:
    """How many moves are due: at most a part of all sessions in a minute, and never more at once than in a second.

    Ask with `due`, tell with `took` what was begun. Time is monotonic seconds.
    """

    def __init__(self, share: float = SHARE) -> None:
        self.share = share
        self._due = 0.0
        self._at: float | None = None

    def per_minute(self, sessions: int) -> float:
        """Return the pace in sessions a minute."""
        return self.share * sessions

    def due(self, sessions: int, now: float, *, at_once: bool = False) -> int:
        """Return how many moves may begin by `now`, of `sessions` there are. `at_once`: all of them.

        Time in which nothing was begun does not add up: what is due is a second's worth at most, rounded up, or a slow
        pace would never come to one.
        """
        a_second = self.per_minute(sessions) / 60
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._due = min(self._due + a_second * elapsed, max(1, ceil(a_second)))
        return sessions if at_once else floor(self._due)

    def took(self, count: int) -> None:
        """`count` moves have begun."""
        self._due = max(0.0, self._due - count)
