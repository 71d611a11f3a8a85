"""The board: where the collector puts the newest view and everybody else waits for it."""

import threading

import msgspec

from flux_gateway.dashboard.view import ClusterView, same


class Board:
    """Holds the newest view. Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._view = ClusterView()
        self._closed = False

    @property
    def view(self) -> ClusterView:
        """The newest view."""
        return self._view

    @property
    def closed(self) -> bool:
        """Whether the dashboard is stopping."""
        return self._closed

    def publish(self, view: ClusterView) -> None:
        """Make `view` the newest one. Who waits is woken only if it shows something new."""
        with self._changed:
            if same(view, self._view):
                self._view = msgspec.structs.replace(view, version=self._view.version)
                return
            self._view = msgspec.structs.replace(view, version=self._view.version + 1)
            self._changed.notify_all()

    def wait(self, seen: int, timeout: float) -> ClusterView:
        """Return the newest view as soon as its version is not `seen`, at the latest after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._view.version != seen, timeout)
            return self._view

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the closing of the board."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """Wake everybody for good: open streams end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
