"""Readiness of many thousands of sockets, one Python call per event, inside a running asyncio loop.

An own epoll set, whose descriptor is one reader of the loop: no transport, task, queue or timer per socket, and every
byte under the caller's control. Level-triggered: whatever a handler leaves undone is reported again. That is what makes
the guarantee below cheap.

**No event from before a call is dispatched after it.** Events arrive in batches, and a handler may register, modify or
unregister any descriptor, its own too, while later events of the same batch still wait. Three of those would be stale:

- for a descriptor that has been unregistered (and perhaps closed) since;
- for a descriptor number that was closed, given out again by the kernel (to a socket accepted within this batch, say)
  and registered anew: the event belongs to the old socket;
- for a descriptor whose interest has been modified since: a reader that was paused must not read once more.

So within a batch `register` and `modify` move the handler to a side table that is merged back when the batch is done;
the dispatch looks only into the main table and skips what it does not find. The kernel reports again whatever is still
true of a skipped event, so nothing is lost, and the hot path pays nothing: no generation numbers, no comparison.
"""

import asyncio
import logging
from collections.abc import Callable
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epoll

from flux_gateway.runtime.logging import fields

__all__ = ["ERR", "HUP", "IN", "OUT", "RDHUP", "ErrorHandler", "Handler", "Poller"]

log = logging.getLogger(__name__)

IN = EPOLLIN
OUT = EPOLLOUT
RDHUP = EPOLLRDHUP
HUP = EPOLLHUP
"""Reported whether asked for or not, like `ERR`. Level-triggered: a handler that ignores either is called forever."""
ERR = EPOLLERR

Handler = Callable[[int], None]
"""Called with the bit mask of what is true of the descriptor."""

ErrorHandler = Callable[[int, Handler, Exception], None]
"""Called with descriptor, handler and exception when a handler has raised; see `Poller`."""


class Poller:
    """Calls a handler per ready descriptor. Belongs to the thread of its loop.

    `on_error(fd, handler, error)` is called after a handler has raised: the descriptor is unregistered by then, and the
    owner closes what belongs to it (`handler.__self__` is the object of a bound method). `fd` is -1 if the handler had
    given the descriptor up before it raised: the number may be somebody else's by now. The other events of the batch go
    on. `batch` bounds the events taken per turn of the loop, hence how long timers and tasks wait.
    """

    __slots__ = (
        "_batch", "_epoll", "_handlers", "_held", "_loop", "_on_error", "_running",
        "batches", "events", "stale",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: ErrorHandler, *, batch: int = 256) -> None:
        self._loop = loop
        self._on_error = on_error
        self._batch = batch
        self._epoll = epoll()
        self._handlers: dict[int, Handler] = {}
        self._held: dict[int, Handler] = {}
        """Handlers registered or modified within the running batch: out of sight of its remaining events."""
        self._running = False
        self.batches = 0
        """Batches dispatched since the start."""
        self.events = 0
        """Events received since the start, stale ones included."""
        self.stale = 0
        """Events skipped. Growing without end: a descriptor was closed before it was unregistered."""
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def __len__(self) -> int:
        """How many descriptors are registered."""
        return len(self._handlers) + len(self._held)

    def register(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` whenever one of `events` (`IN`, `OUT`, `RDHUP`; 0 for `HUP` and `ERR` alone) is true of `fd`.

        Edge-triggered and one-shot flags are not supported. Raises `FileExistsError` if `fd` is registered.
        """
        self._epoll.register(fd, events)
        if self._running:
            self._handlers.pop(fd, None)  # of a descriptor that was closed without being unregistered
            self._held[fd] = handler
        else:
            self._handlers[fd] = handler

    def modify(self, fd: int, events: int) -> None:
        """Set what `fd` is watched for. Raises `FileNotFoundError` if it is not registered."""
        self._epoll.modify(fd, events)
        if self._running and fd in self._handlers:
            self._held[fd] = self._handlers.pop(fd)

    def replace(self, fd: int, handler: Handler) -> None:
        """Give a registered `fd` another handler, without a system call. Raises `KeyError` if it is not registered."""
        table = self._held if fd in self._held else self._handlers
        if fd not in table:
            raise KeyError(fd)
        table[fd] = handler

    def unregister(self, fd: int) -> None:
        """Watch `fd` no longer; nothing happens if it is not registered.

        Call it *before* the descriptor is closed: the kernel watches the open file, and if a duplicate lives on (in the
        keeper, say) it would go on reporting a number that nobody can take out any more. Raises `OSError` if too late.
        """
        if self._handlers.pop(fd, None) is not None or self._held.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Stop for good, also from within a handler. The registered descriptors stay open; they are the caller's."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._handlers.clear()
            self._held.clear()

    def _dispatch(self) -> None:
        ready = self._epoll.poll(0, self._batch)
        self.batches += 1
        self.events += len(ready)
        handlers = self._handlers
        self._running = True
        try:
            for fd, events in ready:
                try:
                    handler = handlers[fd]
                except KeyError:
                    self.stale += 1
                    continue
                try:
                    handler(events)
                except Exception as error:
                    self._drop(fd, handler, error)
        finally:
            # Also when KeyboardInterrupt passes through: the kernel reports the rest of the batch again.
            self._running = False
            if self._held:
                handlers.update(self._held)
                self._held.clear()

    def _drop(self, fd: int, handler: Handler, error: Exception) -> None:
        log.error("handler of a socket failed", exc_info=error, extra=fields(fd=fd))
        mine = self._handlers.get(fd) is handler or self._held.get(fd) is handler
        try:
            if mine:
                self.unregister(fd)
        except OSError:  # closed without being unregistered
            mine = False
        try:
            self._on_error(fd if mine else -1, handler, error)
        except Exception:
            log.exception("closing after a failed handler failed too", extra=fields(fd=fd))
