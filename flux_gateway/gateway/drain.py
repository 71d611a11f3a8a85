"""Drain: give up every session within the window, evenly spread, then stop or wait (design, section 2)."""

import asyncio
import logging

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.gateway.node import Node
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.spread import spread, within

log = logging.getLogger(__name__)

_REASON = "node is draining, connect again"


class Drain:
    """Runs at most one drain of a node at a time."""

    def __init__(self, node: Node) -> None:
        self._node = node
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
        started = loop.time()
        # The last to be told need a moment to answer before the window is over.
        seconds = max(0.0, window - min(node.settings.close_timeout, window / 10))
        waiting = list(node.connections)
        await spread(waiting, lambda one: one.close(1012, _REASON), seconds, over=node.empty)
        await within(node.empty, started + window - loop.time())
        cut = list(node.connections)
        for connection in cut:
            connection.transport.abort()
        took = round(loop.time() - started, 2)
        log.info("drained", extra=fields(sessions=len(waiting), cut=len(cut), seconds=took))
