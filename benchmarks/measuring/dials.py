"""Every dial to a node, at the moment it leaves: the SYN packets on the loopback interface.

The one witness that sees every kind alike, and at once: a dial that is refused (the process is dead), one that is
turned away with 503 (it drains), and one that the kernel accepts and nobody answers (it hangs). It costs the proxy
nothing, whereas asking for its counters every few milliseconds would slow down exactly what is being measured.
"""

import asyncio
import ctypes
import socket
import struct
import time
from types import TracebackType

from flux_gateway.core.errors import CommandError

_IP = 0x0800
_SO_ATTACH_FILTER = 26
_SO_TIMESTAMPNS = 35
_ANCILLARY = 64
_OUTGOING = 4
"""Linux names: linux/if_ether.h, asm-generic/socket.h, linux/if_packet.h."""

_LOAD_BYTE, _LOAD_WORD, _LOAD_X = 0x30, 0x20, 0xB1
_LOAD_HALF_X, _LOAD_BYTE_X, _EQUAL, _AND, _RETURN = 0x48, 0x50, 0x15, 0x54, 0x06
"""Classic BPF (linux/bpf_common.h)."""


class DialWatch:
    """Counts and dates the SYN packets to one address while it is open. A context manager, on the running loop."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.dials = 0
        self.last_dial = 0.0
        """Monotonic time of the last one, by the kernel's time stamp."""
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        except PermissionError:
            raise CommandError("watching what a proxy dials needs root (CAP_NET_RAW)") from None
        _attach(self._socket, _program(address))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind(("lo", _IP))

    def __enter__(self) -> "DialWatch":
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                _, extra, _, address = self._socket.recvmsg(128, _ANCILLARY)
            except BlockingIOError:
                return
            if address[2] == _OUTGOING:
                continue  # the loopback interface shows every packet twice
            seconds, nanoseconds = struct.unpack("qq", extra[0][2])
            self.dials += 1
            self.last_dial = seconds + nanoseconds * 1e-9 - time.time() + time.monotonic()


def _program(address: tuple[str, int]) -> list[tuple[int, int, int, int]]:
    """Return a filter for TCP packets to an address that carry SYN and not ACK. Offsets count from the IP header."""
    host = int.from_bytes(socket.inet_aton(address[0]), "big")
    return [
        (_LOAD_BYTE, 0, 0, 9), (_EQUAL, 0, 9, socket.IPPROTO_TCP),
        (_LOAD_WORD, 0, 0, 16), (_EQUAL, 0, 7, host),
        (_LOAD_X, 0, 0, 0),
        (_LOAD_HALF_X, 0, 0, 2), (_EQUAL, 0, 4, address[1]),
        (_LOAD_BYTE_X, 0, 0, 13), (_AND, 0, 0, 0x12), (_EQUAL, 0, 1, 0x02),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ]  # fmt: skip


def _attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))
