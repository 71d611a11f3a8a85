"""Listening sockets for a child process, the way systemd passes them: sd_listen_fds(3).

They must be the descriptors from 3 on, and LISTEN_PID the process id of the very program. Only the new process itself
knows that id; so it runs this file first, which puts everything in place and becomes the program by exec. It starts by
path and without `site`, which takes a hundredth of a second, and imports nothing of ours.
"""

import os
import sys
from collections.abc import Sequence

_FIRST = 3

_NAME = "clients"
"""What systemd calls the sockets of the proxies' unit: `FileDescriptorName=`."""


def command(argv: Sequence[str], descriptors: Sequence[int]) -> tuple[str, ...]:
    """Return the command line that starts `argv` with these sockets. They must be inherited as they are."""
    if not descriptors:
        return tuple(argv)
    return (sys.executable, "-I", "-S", __file__, ",".join(map(str, descriptors)), *argv)


def become(argv: list[str], descriptors: list[int]) -> None:
    """Be `argv` from now on, under the same process id, with the descriptors where it looks for them."""
    clear = max(*descriptors, _FIRST + len(descriptors)) + 1
    # First out of the way: one may stand where another must go.
    for at, descriptor in enumerate(descriptors):
        os.dup2(descriptor, clear + at, inheritable=False)
        os.close(descriptor)
    for at in range(len(descriptors)):
        os.dup2(clear + at, _FIRST + at)
    names = ":".join([_NAME] * len(descriptors))
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(descriptors)), LISTEN_FDNAMES=names)
    os.execv(argv[0], argv)  # noqa: S606 - the program that the supervisor wants


if __name__ == "__main__":
    become(sys.argv[2:], [int(number) for number in sys.argv[1].split(",")])
