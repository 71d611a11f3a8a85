"""What systemd hears from a daemon: ready, its state in words, stopping, and that its event loop turns.

The protocol of sd_notify(3), without a dependency: datagrams of `KEY=value` lines to the socket that NOTIFY_SOCKET
names. Without that variable, or where it cannot be reached, nothing happens.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Speaks for one daemon. Make it inside the running loop; `close` it before the loop ends.

    `status` returns the line that `systemctl status` shows. Where the unit has `WatchdogSec=`, a timer of the loop
    feeds the watchdog three times per period: a loop that stands still lets it run out, and systemd restarts it all.
    """

    def __init__(self, status: Callable[[], str], environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._status = status
        self._socket = _connect(environment.get("NOTIFY_SOCKET", ""))
        self._loop = asyncio.get_running_loop()
        self._beat = _watchdog_seconds(environment) / 3
        self._timer: asyncio.TimerHandle | None = None
        if self._socket is not None and self._beat:
            self._feed()

    def ready(self) -> None:
        """The daemon listens: units that wait for it may start."""
        self._send(f"READY=1\nSTATUS={self._line()}")

    def changed(self) -> None:
        """The state has changed: tell the new line."""
        self._send(f"STATUS={self._line()}")

    def stopping(self) -> None:
        """The daemon is about to end. systemd holds it to `TimeoutStopSec=` from here: not for a drain it outlives."""
        self._send(f"STOPPING=1\nSTATUS={self._line()}")

    def close(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _feed(self) -> None:
        # The line goes along, so that the number of sessions in it does not grow old.
        self._send(f"WATCHDOG=1\nSTATUS={self._line()}")
        self._timer = self._loop.call_later(self._beat, self._feed)

    def _line(self) -> str:
        return self._status().replace("\n", " ")

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(text.encode())
        except OSError as error:
            # systemd is busy or restarting itself; the next line, a third of a watchdog's period away, says it again.
            log.debug("systemd was not told: %s", error)


def _connect(address: str) -> socket.socket | None:
    """Return a socket to NOTIFY_SOCKET: a path, or `@name` in Linux's abstract namespace."""
    if not address.startswith(("/", "@")):
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect("\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        log.warning("systemd cannot be told that this daemon is ready: %s: %s", address, error.strerror)
        sock.close()
        return None
    return sock


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """Return the period of systemd's watchdog, 0 for none. WATCHDOG_PID is whom it watches: sd_watchdog_enabled(3)."""
    wanted = environment.get("WATCHDOG_PID", "")
    period = environment.get("WATCHDOG_USEC", "")
    if not period.isdigit() or (wanted and wanted != str(os.getpid())):
        return 0.0
    return int(period) / 1e6
