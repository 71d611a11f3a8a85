"""Drain: give up every session within the window, then stop or wait (design, sections 2 and 7).

Proxies see the state and move their sessions to other nodes. Sessions that cannot move are closed with 1012, evenly
spread: over the whole window when no proxy could fetch them, else over what is left of it after the time for moves.
"""

import asyncio
import logging
from collections.abc import Callable, Container

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.node import Node
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.spread import spread, within

log = logging.getLogger(__name__)

_REASON = "node is draining, connect again"

_MOVING = 0.5
"""Part of the window in which proxies may move sessions before those that are left are closed."""


class Drain:
    """Runs at most one drain of a node at a time."""

    def __init__(self, node: Node, proxies: Callable[[], Container[str]], ended: Callable[[], None]) -> None:
        """`proxies` returns the ids of the proxies that have a link to this node; `ended` is called after a drain."""
        self._node = node
        self._proxies = proxies
        self._ended = ended
        self._task: asyncio.Task[None] | None = None

    def start(self, detail: str, seconds: float | None = None) -> int:
        """Begin draining within `seconds` (None: the node's setting); a drain that is already running goes on.

        Returns the sessions still open.
        """
        if self._node.state is not NodeState.DRAINING:
            self._node.enter(NodeState.DRAINING, detail)
        window = self._node.settings.drain_timeout if seconds is None else seconds
        if self._task is None:
            self._task = asyncio.create_task(self._run(window), name="drain")
        return len(self._node.connections)

    async def undo(self) -> None:
        """Take sessions again. Sessions closed so far stay closed. Raises `IllegalTransition` if there is no drain."""
        self._node.enter(NodeState.UP, "undrained")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def finished(self) -> None:
        """Wait until every session is gone or the window is over."""
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task.result()

    async def _run(self, window: float) -> None:
        node, loop = self._node, asyncio.get_running_loop()
        started, sessions, released = loop.time(), len(node.connections), node.counters.released
        # The last to be told need a moment to answer before the window is over.
        seconds = max(0.0, window - min(node.settings.close_timeout, window / 10))
        proxies = self._proxies()
        stuck = [one for one in node.connections if one.proxy_id not in proxies]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close(stuck, seconds), name="drain: without a proxy")
            group.create_task(self._close_left(proxies, seconds), name="drain: after the moves")
        await within(node.empty, started + window - loop.time())
        cut = list(node.connections)
        for connection in cut:
            connection.transport.abort()
        took, moved = round(loop.time() - started, 2), node.counters.released - released
        self._ended()
        log.info("drained", extra=fields(sessions=sessions, moved=moved, cut=len(cut), seconds=took))

    async def _close(self, connections: list[Connection], seconds: float) -> None:
        await spread(connections, lambda one: one.close(1012, _REASON), seconds, over=self._node.empty)

    async def _close_left(self, proxies: Container[str], seconds: float) -> None:
        """Give the proxies their time, then close what they have not fetched."""
        if not await within(self._node.empty, seconds * _MOVING):
            left = [one for one in self._node.connections if one.session.open and one.proxy_id in proxies]
            await self._close(left, seconds * (1 - _MOVING))
