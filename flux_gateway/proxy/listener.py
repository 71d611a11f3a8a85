"""The proxy's listening socket. Several proxies share a port by SO_REUSEPORT."""

import asyncio
import logging
import socket
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM

from flux_gateway.proxy.switchboard import Switchboard
from flux_gateway.runtime import tcp
from flux_gateway.runtime.poller import IN

log = logging.getLogger(__name__)

_AT_ONCE = 128
"""Connections accepted per turn of the loop, so that those that talk get their turn too."""

_PAUSE = 0.5
"""Seconds without accepting when the process is out of files."""

_OUT_OF = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})


class Listener:
    """Accepts clients for the switchboard."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None

    def open(self, host: str, port: int, backlog: int) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._socket = tcp.listener(host, port, backlog, shared=True)
        self._board.poller.register(self._socket.fileno(), IN, self._accept)

    def _accept(self, events: int) -> None:
        assert self._socket is not None
        for _ in range(_AT_ONCE):
            try:
                client, address = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _OUT_OF:
                    raise
                self._rest(error)
                return
            client.setblocking(False)
            self._board.admit(client, (address[0], address[1]))

    def _rest(self, error: OSError) -> None:
        """Out of files: the connections wait in the backlog until some are free again."""
        assert self._socket is not None
        log.error("cannot accept, pausing: %s", error.strerror)
        self._board.poller.modify(self._socket.fileno(), 0)
        self._pause = self._loop.call_later(_PAUSE, self._board.poller.modify, self._socket.fileno(), IN)

    def close(self) -> None:
        """Stop listening."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket is not None:
            self._board.poller.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None
