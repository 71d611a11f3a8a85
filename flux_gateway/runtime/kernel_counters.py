"""How many bytes a TCP connection has carried, as the kernel knows it: also those of a process that has died.

A relay that was killed leaves nothing but its sockets (in the keeper). What it consumed on one side and sent on the
other tells whether anything was lost in between.

    consumed = tcpi_bytes_received - bytes still unread (FIONREAD)
    sent     = tcpi_bytes_acked + bytes not acknowledged yet (TIOCOUTQ)

Both counters of the kernel go by sequence numbers, so a SYN that was sent and a FIN count one each:
net/ipv4/tcp_input.c, `tcp_snd_una_update` and `tcp_rcv_nxt_update`. Here only bytes count.
"""

import fcntl
import socket
import struct
import termios

_INFO = struct.Struct("=B119xQQ")
"""struct tcp_info: tcpi_state, and from byte 120 on tcpi_bytes_acked and tcpi_bytes_received (include/uapi/linux/tcp.h,
since Linux 4.1)."""

_INT = struct.Struct("=i")

_FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING = 4, 5, 8, 9, 11
_OPEN = frozenset({1, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING})
"""States with counters that mean something; 1 is ESTABLISHED (include/net/tcp_states.h)."""

_FIN_SENT = frozenset({_FIN_WAIT1, _FIN_WAIT2, _CLOSING, _LAST_ACK})
_FIN_RECEIVED = frozenset({_CLOSE_WAIT, _CLOSING, _LAST_ACK})


def consumed(sock: socket.socket) -> int:
    """Return how many bytes have been read from a connection since it began. What is unread may go on growing.

    Raises OSError when the connection is closed or reset.
    """
    state, _, received = _info(sock)
    while True:
        unread = _amount(sock, termios.FIONREAD)
        before = (state, received)
        state, _, received = _info(sock)
        if (state, received) == before:  # else more arrived between the two readings
            return received - unread - (state in _FIN_RECEIVED)


def sent(sock: socket.socket, connecting: bool) -> int:
    """Return how many bytes have been written to a connection since it began, whether they have arrived or not.

    `connecting` says which side this is: the one that connected has sent a SYN that counts, too. Raises OSError when
    the connection is closed or reset.
    """
    state, acked, _ = _info(sock)
    while True:
        queued = _amount(sock, termios.TIOCOUTQ)
        before = (state, acked)
        state, acked, _ = _info(sock)
        if (state, acked) == before:
            return acked + queued - connecting - (state in _FIN_SENT)


def _info(sock: socket.socket) -> tuple[int, int, int]:
    state, acked, received = _INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
    if state not in _OPEN:
        raise ConnectionError("the connection is closed")
    return state, acked, received


def _amount(sock: socket.socket, question: int) -> int:
    (amount,) = _INT.unpack(fcntl.ioctl(sock, question, bytes(_INT.size)))
    return int(amount)
