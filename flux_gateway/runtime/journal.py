"""Log lines with fields, for journald: its native datagram protocol, without a dependency.

Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. An entry is a datagram of fields: `KEY=value` and a newline, or,
for a value that holds a newline itself, `KEY`, a newline, the size as 64-bit little-endian, the value, a newline. An
entry too big for a datagram goes into a sealed memory file, whose descriptor is sent in its place.
"""

import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterable, Mapping
from errno import EMSGSIZE, ENOBUFS
from typing import IO, Any

SOCKET = "/run/systemd/journal/socket"

_PATIENCE = 0.25
"""Seconds to wait for a journald that does not keep up: better a line is lost than that a daemon stands still."""

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
"""Without them journald would have to copy the file before it may believe it."""

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels of `logging` and of syslog(3); everything below is 7."""

_LONGEST_NAME = 64
"""Characters of a field name, by journald's own rule."""


def connected(stream: IO[str], environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether what is written to `stream` goes to the journal: JOURNAL_STREAM names its device and inode.

    The comparison matters, since the variable is inherited and the stream may have been redirected (systemd.exec(5)).
    """
    environment = os.environ if environment is None else environment
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalHandler(logging.Handler):
    """Sends each record as one entry with a field for everything that is known of it.

    `identity` are fields that every entry has. MESSAGE is what the formatter makes of the record, FLUX_<KEY> each field
    of the log call, FLUX_TRACE the trace of an exception. What cannot be sent goes to `fallback`.
    """

    def __init__(self, identity: Mapping[str, str], fallback: logging.Handler, path: str = SOCKET) -> None:
        super().__init__()
        self._identity = dict(identity)
        self._fallback = fallback
        self._path = path
        self._socket: socket.socket | None = None
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record. Never raises."""
        try:
            entry = encode(self._fields(record))
            self._send(entry)
        except TimeoutError:
            self._fall_behind()
        except OSError:
            # The socket is gone (a journal that is stopped, a container without one): try again with the next record.
            self._drop()
            self._fallback.handle(record)
        except Exception:
            self.handleError(record)

    def _fields(self, record: logging.LogRecord) -> list[tuple[str, str]]:
        pairs = [("MESSAGE", self.format(record)), ("PRIORITY", str(priority(record.levelno)))]
        if self._lost:
            pairs.append(("FLUX_LOST_BEFORE", str(self._lost)))
        pairs += self._identity.items()
        given: Mapping[str, Any] = getattr(record, "fields", {})
        pairs += [pair for key, value in given.items() if (pair := (field_name(key), str(value))) not in pairs]
        if record.exc_info:
            formatter = self.formatter or logging.Formatter()
            pairs.append(("FLUX_TRACE", formatter.formatException(record.exc_info)))
        return pairs

    def _send(self, entry: bytes) -> None:
        try:
            self._send_once(entry)
        except ConnectionError:  # journald's socket was made anew
            self._drop()
            self._send_once(entry)
        if self._lost:
            self._lost = 0
            self._connected().settimeout(_PATIENCE)

    def _send_once(self, entry: bytes) -> None:
        sock = self._connected()
        try:
            sock.send(entry)
        except BlockingIOError as error:
            raise TimeoutError from error
        except OSError as error:
            if error.errno not in (EMSGSIZE, ENOBUFS):
                raise
            _send_as_file(sock, entry)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                # Connected, so that waiting for a full queue is waiting and not asking again and again.
                sock.connect(self._path)
                sock.settimeout(_PATIENCE)
            except OSError:
                sock.close()
                raise
            self._socket = sock
        return self._socket

    def _fall_behind(self) -> None:
        """Count what is lost, and wait no more until journald takes something again."""
        self._lost += 1
        self._connected().settimeout(0)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close the socket."""
        self._drop()
        super().close()


def priority(level: int) -> int:
    """Return the syslog number for a level of `logging`."""
    return next((number for floor, number in _PRIORITIES if level >= floor), 7)


def field_name(key: str) -> str:
    """Return the journal's name for a field of a log call: `node` is FLUX_NODE."""
    return ("FLUX_" + re.sub(r"[^A-Z0-9_]", "_", key.upper()))[:_LONGEST_NAME]


def encode(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return one entry in the native protocol."""
    parts = []
    for name, text in pairs:
        # Python's strings may hold halves of characters, which have no UTF-8.
        value = text.encode(errors="backslashreplace")
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


def _send_as_file(sock: socket.socket, entry: bytes) -> None:
    fd = os.memfd_create("flux-journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(fd, "wb", buffering=0) as file:
        file.write(entry)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        socket.send_fds(sock, [b""], [file.fileno()])
