"""cgroups for a host on a machine with the v1 controllers mounted; on a pure v2 machine there is nothing to do."""

import contextlib
import os
from pathlib import Path

from tests.hosts.shell import run

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "blkio", "devices", "freezer", "cpuset", "systemd", "unified")
_WRITABLE = ("cpu", "cpuacct", "memory", "pids")
"""Controllers that the host's own systemd uses for the limits of units."""


def legacy() -> bool:
    """Tell whether this machine has v1 controllers."""
    return (_ROOT / "memory" / "cgroup.procs").exists()


def _folders(name: str) -> list[Path]:
    return [_ROOT / controller / f"flux-{name}" for controller in _CONTROLLERS if (_ROOT / controller).exists()]


def prepare(name: str) -> None:
    """Make a host's cgroups."""
    if not legacy():
        return
    for folder in _folders(name):
        folder.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (folder / file).exists():
                (folder / file).write_text((folder.parent / file).read_text())


def join(name: str) -> None:
    """Put this very process into a host's cgroups: for a child between fork and exec."""
    if legacy():
        for folder in _folders(name):
            (folder / "cgroup.procs").write_text(str(os.getpid()))


def unlock(leader: int) -> None:
    """Let the host's systemd write its controllers, which nspawn has mounted read-only."""
    if not legacy():
        return
    for controller in _WRITABLE:
        run(
            "nsenter", "-t", str(leader), "-m", "mount", "-o", "remount,bind,rw,nosuid,nodev,noexec",
            f"/sys/fs/cgroup/{controller}",
        )  # fmt: skip
    run("nsenter", "-t", str(leader), "-a", "systemctl", "daemon-reexec")


def remove(name: str) -> None:
    """Remove a host's cgroups, the deepest first."""
    if not legacy():
        return
    for top in _folders(name):
        for folder, _, _ in os.walk(top, topdown=False):
            # A process that is just ending may hold one for a moment more; an empty cgroup costs nothing.
            with contextlib.suppress(OSError):
                os.rmdir(folder)
