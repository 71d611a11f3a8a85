"""Sessions go to where their slot ranks them now: after a join, a return, or an overload (design, section 7).

A node that joins takes over no connection by itself; without this it would idle until enough clients come anew.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from flux_gateway.core import rebalance
from flux_gateway.core.lifecycle import GONE, NodeState
from flux_gateway.core.liveness import LinkState
from flux_gateway.proxy.moves import Moves
from flux_gateway.proxy.nodes import node_of
from flux_gateway.proxy.relay import Relay
from flux_gateway.proxy.router import Router
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_LOOK, _LOOK_NOW = 1.0, 0.1
"""Seconds between two looks at who is where: as a rule, and while an operator waits."""

_PATIENCE = 60.0
"""Seconds after which an operator's wish for haste is forgotten, if it could not be granted."""


class Rebalance:
    """Plans once a second and asks for as many sessions as its pace allows."""

    def __init__(self, router: Router, moves: Moves, share: float, registry_away: Callable[[], bool]) -> None:
        """`share`: part of all sessions that may move in a minute. `registry_away`: whether Redis does not answer."""
        self._router, self._moves, self._registry_away = router, moves, registry_away
        self._pace = rebalance.Pace(share)
        self._loop = asyncio.get_running_loop()
        self._hurry_until = 0.0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Rebalance for ever."""
        while True:
            self._wake.clear()
            self._step()
            try:
                async with asyncio.timeout(_LOOK_NOW if self._hurried() else _LOOK):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def hurry(self) -> int:
        """Move everything that is not where it belongs, now. Returns how many sessions that are."""
        self._hurry_until = self._loop.time() + _PATIENCE
        self._wake.set()
        return len(self._plan())

    def paused(self) -> str:
        """Return why nothing is moved at present, or an empty string.

        While nodes come and go, load says little, and what fails over must not wait behind what is only out of place.
        """
        if self._registry_away():
            return "Redis does not answer"
        for node in self._router.nodes.values():
            if node.state is NodeState.DRAINING:
                return f"{node.id} is DRAINING"
            if node.record.state is NodeState.DEAD:
                return f"{node.id} is DEAD"
            if node.record.state not in GONE and node.health.state is not LinkState.UP:
                return f"{node.id} is suspect"
        return ""

    def status(self) -> dict[str, Any]:
        """What `GET /rebalance` answers."""
        return {
            "paused": self.paused(),
            "away": len(self._plan()),
            "moving": len(self._moves),
            "pace": round(self._pace.per_minute(self._sessions()), 1),
            "now": self._hurried(),
        }

    def _hurried(self) -> bool:
        return self._loop.time() < self._hurry_until

    def _sessions(self) -> int:
        return sum(len(node.relays) for node in self._router.nodes.values())

    def _plan(self) -> list[tuple[Relay, str]]:
        relays = [
            (relay, relay.slot, node.id)
            for node in self._router.nodes.values()
            for relay in node.relays
            if relay.up is not None
        ]
        router = self._router
        # A node that an operator wants filled does not start slowly.
        return rebalance.plan(relays, router.ranking, router.nodes, router.bounds, ramped=not self._hurried())

    def _step(self) -> None:
        if self.paused() or len(self._router.usable()) < 2:
            return
        plan, hurried = self._plan(), self._hurried()
        due = self._pace.due(self._sessions(), self._loop.time(), at_once=hurried)
        # The plan begins with those that bounded load asks for.
        due = max(due, rebalance.overload(self._router.nodes, self._router.bounds))
        if not plan:
            self._hurry_until = 0.0
            return
        begun = 0
        # Over the whole plan: some sessions cannot move at the moment, and nobody waits behind them.
        for relay, target_id in plan:
            if begun >= due or not self._moves.room():
                break
            begun += self._moves.ask([relay], node_of(relay), self._router.nodes[target_id])
        self._pace.took(begun)
        if begun:
            log.debug("rebalancing", extra=fields(sessions=begun, away=len(plan)))
