"""TCP sockets as the programs want them: small messages at once, and quick recovery after a partition."""

import contextlib
import os
import socket
from errno import EINPROGRESS

_IP_BIND_ADDRESS_NO_PORT = 24
_TCP_RTO_MAX_MS = 44
"""Linux names, unknown to Python 3.11 (include/uapi/linux/in.h and tcp.h)."""

_LONGEST_RTO_MS = 1000
"""After a partition TCP goes on only with its next retransmission, and the pause between those doubles each time: ten
seconds cut off would cost up to ten more. Linux 6.15 and newer let a socket bound that pause."""


def listener(host: str, port: int, backlog: int, *, shared: bool = False) -> socket.socket:
    """Return a non-blocking listening socket; with `shared`, several processes may listen on the same address.

    What is set on it, accepted sockets inherit. Raises OSError when the address is taken.
    """
    sock = _socket(host)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def dial(host: str, port: int, source: str) -> socket.socket:
    """Begin to connect, from the address `source` unless empty; return the non-blocking socket.

    It becomes writable when it is connected, or has failed (SO_ERROR). Raises OSError when it fails at once: no files
    are left, `source` is no address of this host, nobody can be reached there.
    """
    sock = _socket(host)
    try:
        if source:
            # The port is chosen at connect time, so that one source port can serve several destinations.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        error = sock.connect_ex((host, port))
        if error not in (0, EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except OSError:
        sock.close()
        raise
    return sock


def adopt(sock: socket.socket) -> None:
    """Make a listening TCP socket that somebody else opened like one of `listener`."""
    sock.setblocking(False)
    _tune(sock)


def end(sock: socket.socket) -> None:
    """Close a connection, even if another process holds a duplicate: then `close` alone would not reach the peer."""
    with contextlib.suppress(OSError):  # closed or reset already
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    _tune(sock)
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, _LONGEST_RTO_MS)
