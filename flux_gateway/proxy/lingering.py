"""A client that has been told the last word: it gets a moment to read it, and to leave first."""

import socket
from typing import Protocol

from flux_gateway.runtime.poller import IN

_DISCARD = bytearray(65_536)


class Owner(Protocol):
    """What a lingering client needs of the switchboard that holds it."""

    def hang_up(self, lingering: "Lingering") -> None:
        """The client has left, or its time is over."""


class Lingering:
    """Half-closed towards the client. Closing at once would, with bytes of the client still unread, reset the
    connection and could destroy the close frame or the error text on its way (RFC 9112, section 9.6)."""

    __slots__ = ("_board", "client", "client_ip")

    def __init__(self, board: Owner, client: socket.socket, client_ip: str) -> None:
        self._board = board
        self.client = client
        self.client_ip = client_ip

    def on_client(self, events: int) -> None:
        """Drop what still comes; when nothing comes any more, close."""
        try:
            size = self.client.recv_into(_DISCARD) if events & IN else 0
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._board.hang_up(self)
