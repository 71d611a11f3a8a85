"""The collector: one thread that reads the registry for everybody who looks at the dashboard."""

import logging
import threading
import time
from collections.abc import Callable

import msgspec

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.membership import NodeRecord, Snapshot
from flux_gateway.dashboard.board import Board
from flux_gateway.dashboard.history import EventLog, Histories
from flux_gateway.dashboard.shares import ShareCounter
from flux_gateway.dashboard.view import build, taking_weights
from flux_gateway.registry.reader import RegistryReader
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between reads when nothing is announced."""

BURST_INTERVAL = 0.2
"""Seconds between reads while events come in, and how long the silence after one may last."""

STUCK_AFTER = 15.0
"""Seconds without a turn of the loop after which the collector counts as hung. Above any wait for Redis."""


class Collector:
    """Publishes a view on the board each second and on every event, and says so when the registry is away."""

    def __init__(
        self,
        reader: RegistryReader,
        board: Board,
        histories: Histories,
        shares: ShareCounter,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._reader = reader
        self._board = board
        self._histories = histories
        self._shares = shares
        self._wall = wall
        self._log = EventLog()
        self._snapshot = Snapshot()
        self._stopping = threading.Event()
        self._turned = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the loop turned lately."""
        return time.monotonic() - self._turned < STUCK_AFTER

    def node(self, node_id: str) -> NodeRecord | None:
        """Return a node's record as last read."""
        return self._snapshot.nodes.get(node_id)

    def close(self) -> None:
        """Stop the thread; it may be waiting for Redis, which has a deadline."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._reader.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except RegistryUnavailable as error:
                self._away(str(error))
            except Exception:
                # A fault in one turn must not freeze the page silently: it shows as stale, and the next turn tries.
                log.exception("the collector failed")
                self._away("the dashboard failed to read the registry; its log says why")
            self._turned = time.monotonic()
            self._stopping.wait(INTERVAL / 2)

    def _follow(self) -> None:
        self._read(with_events=True)
        # What is announced between this read and the subscription is found by the first read after it.
        read_at, heard = time.monotonic(), True
        for event in self._reader.follow(BURST_INTERVAL):
            now = self._turned = time.monotonic()
            if self._stopping.is_set():
                return
            heard = heard or event is not None
            if now - read_at >= (BURST_INTERVAL if heard else INTERVAL):
                self._read(with_events=heard)
                read_at, heard = now, False

    def _read(self, *, with_events: bool) -> None:
        snapshot = self._reader.snapshot()
        if with_events:
            self._log.merge(self._reader.timeline())
        for node in snapshot.nodes.values():
            if not self._histories.knows(node.id):
                self._histories.fill(node.id, self._reader.history(node.id))
            self._histories.append(node)
        self._histories.trim(self._wall(), keep=snapshot.nodes)
        self._snapshot = snapshot
        shares = self._shares.shares(taking_weights(snapshot))
        if self._board.view.stale:
            log.info("the registry answers", extra=fields(nodes=len(snapshot.nodes), proxies=len(snapshot.proxies)))
        self._board.publish(build(snapshot, shares=shares, events=self._log.events, as_of=self._wall()))

    def _away(self, problem: str) -> None:
        if not self._board.view.stale:
            log.warning("the registry is away; the last view stays", extra=fields(problem=problem))
        self._board.publish(msgspec.structs.replace(self._board.view, problem=problem))
