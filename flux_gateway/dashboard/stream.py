"""Server-sent events: one stream per open page, fed from the board (WHATWG HTML, section 9.2)."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from flux_gateway.dashboard import messages
from flux_gateway.dashboard.board import Board
from flux_gateway.dashboard.view import ClusterView

TICK = 5.0
"""Seconds of nothing new after which a stream says that it is alive; how a closed page is found, too."""

PACE = 0.5
"""Seconds between two messages of a stream at least."""

RETRY_MS = 1000
"""How long a page waits before it comes back to a stream that broke."""


class StreamBudget:
    """Counts open streams; each holds a thread, and some threads must stay free for everything else."""

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def take(self) -> bool:
        """Take one stream; False when none is left."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Return a stream that was taken."""
        self._free.release()


def stream(board: Board, *, wall: Callable[[], float] = time.time) -> Iterator[bytes]:
    """Yield the whole view as `cluster`, then each change as `update`, and `tick` when there is none."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    shown: ClusterView = board.view
    yield _message("cluster", messages.cluster(shown, wall()))
    while True:
        board.pause(PACE)
        view = board.wait(shown.version, TICK - PACE)
        if board.closed:
            return
        if view.version == shown.version:
            yield _message("tick", messages.tick(view, wall()))
        else:
            yield _message("update", messages.update(shown, view, wall()))
            shown = view


def _message(event: str, content: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode(content))
