"""Clients that come back all at once, and how long until every one has what it missed."""

import os
import select
import socket
import time
from collections.abc import Sequence

from benchmarks.measuring.audience import MARK
from benchmarks.measuring.opening import client_socket
from benchmarks.peers import addresses
from flux_gateway.core.errors import CommandError
from flux_gateway.load.handshake import HandshakeFailed, read_response, request
from flux_gateway.load.plan import Target

_NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="
_PATIENCE = 60.0
_CHUNK = 1 << 20


def storm(
    address: tuple[str, int], path: str, hellos: Sequence[bytes], ready: bytes, publications: int
) -> float:
    """Connect one client for each hello, all at once; return the seconds until the last one has caught up.

    That is when it has read `ready` and so many publications. Raises `CommandError` when that does not come about.
    """
    clients: dict[int, _Comer] = {}
    with select.epoll() as poller:
        try:
            began = time.perf_counter()
            for number, hello in enumerate(hellos):
                client = _Comer(address, path, number, hello)
                clients[client.sock.fileno()] = client
                poller.register(client.sock.fileno(), select.EPOLLIN)
            missing = set(clients)
            while missing:
                ready_ones = poller.poll(_PATIENCE, 4096)
                if not ready_ones:
                    raise CommandError(f"{len(missing)} of {len(hellos)} clients have not caught up")
                for descriptor, _ in ready_ones:
                    if clients[descriptor].read(ready, publications):
                        missing.discard(descriptor)
            return time.perf_counter() - began
        except (OSError, HandshakeFailed) as error:
            raise CommandError(f"a client could not come back: {error}") from error
        finally:
            for client in clients.values():
                client.sock.close()


class _Comer:
    """One client: dials, opens its WebSocket, says its hello, reads."""

    def __init__(self, address: tuple[str, int], path: str, number: int, hello: bytes) -> None:
        self.sock = client_socket()
        self._hello = hello
        self._open = False
        self._heard = b""
        self.sock.setblocking(True)
        # Answered by the kernel, whatever the server is at.
        self.sock.bind((addresses.CLIENTS[number % len(addresses.CLIENTS)], 0))
        self.sock.connect(address)
        self.sock.setblocking(False)
        key = f"storm-{os.getpid()}-{number}"
        self.sock.send(request(Target(*address, path, keyed=False), key, _NONCE))

    def read(self, ready: bytes, publications: int) -> bool:
        """Read what came; return whether it has caught up."""
        data = self.sock.recv(_CHUNK, socket.MSG_DONTWAIT)
        if not data:
            raise ConnectionResetError(f"closed after {self._heard[-200:]!r}")
        self._heard += data
        if not self._open:
            answer = read_response(self._heard, _NONCE)
            if answer is None:
                return False
            self._open, self._heard = True, self._heard[answer[0] :]
            self.sock.send(self._hello)
        found = self._heard.count(MARK)
        if found > publications:
            raise CommandError(f"a client got {found} publications, {publications} were missed")
        return found == publications and ready in self._heard
