"""Listening sockets that systemd opened for this process: the protocol of sd_listen_fds(3), without a dependency."""

import os
import socket
from collections.abc import MutableMapping

from flux_gateway.core.errors import ConfigError

_FIRST = 3
"""Number of the first descriptor that is passed."""

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

_UNNAMED = "unknown"
"""What systemd calls a socket without `FileDescriptorName=`."""


def listeners(environment: MutableMapping[str, str] | None = None) -> dict[str, list[socket.socket]]:
    """Return the sockets passed to this process, by their `FileDescriptorName=`; nothing if none were meant for it.

    They belong to the caller. The variables are taken out of the environment, so that no child believes that they
    are meant for it. Raises `ConfigError` when something else than a listening stream socket was passed.
    """
    environment = os.environ if environment is None else environment
    given = {name: environment.pop(name, "") for name in _VARIABLES}
    if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"].isdigit():
        return {}
    count = int(given["LISTEN_FDS"])
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    names += [_UNNAMED] * (count - len(names))
    found: dict[str, list[socket.socket]] = {}
    faults = []
    for fd, name in zip(range(_FIRST, _FIRST + count), names, strict=False):
        try:
            sock = _adopt(fd)
        except OSError as error:
            faults.append(f"socket {name!r} (descriptor {fd}) passed by systemd: {error.strerror or error}")
        else:
            found.setdefault(name, []).append(sock)
    if faults:
        for sock in (sock for sockets in found.values() for sock in sockets):
            sock.close()
        raise ConfigError(faults)
    return found


def _adopt(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or sock.type != socket.SOCK_STREAM:
            raise OSError("it does not listen; the unit needs ListenStream= and Accept=no")
        sock.set_inheritable(False)
    except OSError:
        sock.detach()  # whatever it is, it is not ours to close
        raise
    return sock
