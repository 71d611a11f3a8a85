"""The proxy's listening sockets: its own, shared by SO_REUSEPORT, or those that systemd opened for it."""

import asyncio
import logging
import socket
from collections.abc import Iterable
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

_MAPPED = "::ffff:"
"""How a socket that listens on `[::]` shows an IPv4 client (RFC 4291, section 2.5.5.2)."""


class Listener:
    """Accepts clients for the switchboard, on one socket or several."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._doors: list[_Door] = []

    def open(self, host: str, port: int, backlog: int) -> None:
        """Listen; `accept` begins to take clients. Raises OSError when the address is taken."""
        self._doors.append(_Door(self._board, tcp.listener(host, port, backlog, shared=True)))

    def adopt(self, sockets: Iterable[socket.socket]) -> None:
        """Take over sockets that listen already. Whoever opened them may keep them after `close`."""
        for sock in sockets:
            tcp.adopt(sock)
            self._doors.append(_Door(self._board, sock))

    def accept(self) -> None:
        """Begin to accept. Until then clients wait in the backlog, where nobody turns them away."""
        for door in self._doors:
            door.open()

    def close(self) -> None:
        """Stop listening."""
        for door in self._doors:
            door.close()
        self._doors.clear()


class _Door:
    """One listening socket."""

    def __init__(self, board: Switchboard, sock: socket.socket) -> None:
        self._board, self._socket = board, sock
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._board.poller.register(self._socket.fileno(), IN, self._accept)

    def _accept(self, events: int) -> None:
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
            host = address[0]
            if host.startswith(_MAPPED) and "." in host:
                host = host.removeprefix(_MAPPED)
            self._board.admit(client, (host, address[1]))

    def _rest(self, error: OSError) -> None:
        """Out of files: the connections wait in the backlog until some are free again."""
        log.error("cannot accept, pausing: %s", error.strerror)
        self._board.poller.modify(self._socket.fileno(), 0)
        self._pause = self._loop.call_later(_PAUSE, self._board.poller.modify, self._socket.fileno(), IN)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        # Before the socket: if systemd keeps it open, the kernel would go on reporting it.
        self._board.poller.unregister(self._socket.fileno())
        self._socket.close()
