"""One test host, from its first boot to the end."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.hosts import cgroups, network
from tests.hosts.paths import KEY, LAB, SSH_OPTIONS
from tests.hosts.shell import CommandFailed, run

_BOOT = 60.0
"""Seconds until a host must answer ssh."""


class Machine(msgspec.Struct, frozen=True):
    """A host: its name, its address, and the root file system below its own changes."""

    name: str
    address: str
    base: str

    @property
    def folder(self) -> Path:
        """Where its changes, its log and its state are."""
        return LAB / self.name

    @property
    def root(self) -> Path:
        """Its root file system as this machine sees it."""
        return self.folder / "root"

    # The life of a host.

    def start(self) -> None:
        """Boot it; `wait` tells when it is there."""
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "machine.json").write_bytes(msgspec.json.encode(self))
        run(
            "mount", "-t", "overlay", f"flux-{self.name}", "-o",
            f"lowerdir={self.base},upperdir={self.folder}/upper,workdir={self.folder}/work", str(self.root),
        )  # fmt: skip
        network.attach(self.name, self.address)
        self._boot()

    def _boot(self) -> None:
        cgroups.prepare(self.name)
        argv = [
            "systemd-nspawn", "-q", "-D", str(self.root), "--register=no", "--keep-unit", "-b",
            f"--network-namespace-path={network.namespace(self.name)}", f"--machine=flux-{self.name}",
            f"--hostname={self.name}", "--resolv-conf=copy-host", "--console=read-only",
            "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        ]  # fmt: skip
        # By setsid: it outlives this process, which need not wait for it.
        starter = ["setsid", "--fork", "sh", "-c", 'echo $$ > "$0"; exec "$@"', str(self.folder / "pid"), *argv]
        with (self.folder / "console.log").open("ab") as console:
            subprocess.run(
                starter, stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=True,
                env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                preexec_fn=lambda: cgroups.join(self.name),
            )  # fmt: skip

    def wait(self) -> None:
        """Wait until it has booted and answers ssh. Raises `CommandFailed` with its console if it does not."""
        deadline = time.monotonic() + _BOOT
        self._until(lambda: self.leader() is not None and self._inside("systemctl", "is-system-running") not in
                    ("", "offline", "initializing"), deadline, "systemd runs")  # fmt: skip
        leader = self.leader()
        assert leader is not None
        cgroups.unlock(leader)
        self._until(self._listens, deadline, "sshd answers")

    def _until(self, condition: Callable[[], bool], deadline: float, what: str) -> None:
        while not condition():
            if time.monotonic() > deadline:
                console = (self.folder / "console.log").read_text(errors="replace")[-1500:]
                raise CommandFailed(f"{self.name}: not within {_BOOT:g} s: {what}\n{console}")
            time.sleep(0.1)

    def _listens(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def pid(self) -> int | None:
        """Return the pid of the nspawn process, None when it has ended."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"--machine=flux-{self.name}\0".encode() in command else None

    def leader(self) -> int | None:
        """Return the pid, as this machine sees it, of the host's own systemd; None while there is none."""
        pid = self.pid()
        if pid is None:
            return None
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return next((int(child) for child in children if _is_init(int(child))), None)
        except OSError:
            return None

    def reboot(self) -> None:
        """Boot it again, with everything it has written, and wait until it is back."""
        pid = self.pid()
        self._inside("systemctl", "reboot")
        deadline = time.monotonic() + _BOOT
        # nspawn would start it again by itself, but only where /run is a file system of its own.
        self._until(lambda: _gone(pid) or "Rebooting." in self._last_words(), deadline, "has shut down")
        if pid is not None:
            _kill(pid)
        self._until(lambda: _gone(pid), deadline, "has ended")
        self._boot()
        self.wait()

    def _last_words(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")[-400:]

    def stop(self) -> None:
        """End it at once and remove all that belongs to it. What is not there is passed over."""
        pid = self.pid()
        if pid is not None:
            leader = self.leader()
            for victim in (leader, pid):
                if victim is not None:
                    _kill(victim)
            self._until(lambda: _gone(pid), time.monotonic() + 10, "has ended")
        network.detach(self.name, self.address)
        while str(self.root) in Path("/proc/mounts").read_text():
            run("umount", "-l", str(self.root))
        cgroups.remove(self.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # Commands on the host.

    def _inside(self, *argv: str) -> str:
        leader = self.leader()
        if leader is None:
            return ""
        return run("nsenter", "-t", str(leader), "-a", *argv, check=False, timeout=20).strip()

    def exec(self, *argv: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run a command on the host, without ssh, and return what it printed. Raises `CommandFailed`."""
        leader = self.leader()
        if leader is None:
            raise CommandFailed(f"{self.name} does not run")
        return run("nsenter", "-t", str(leader), "-a", *argv, check=check, timeout=timeout)

    def check_output(self, command: str, *arguments: str) -> str:
        """Run a command line on the host as testinfra's host does, `%s` stands for an argument: for `checks`."""
        line = command % tuple(map(shlex.quote, arguments)) if arguments else command
        return self.exec("sh", "-c", line).rstrip("\r\n")

    def ssh(self, command: str, timeout: float = 60.0) -> str:
        """Run a command line on the host by ssh, as Ansible would."""
        return run("ssh", *SSH_OPTIONS, "-i", str(KEY), f"root@{self.address}", command, timeout=timeout)


def _is_init(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _gone(pid: int | None) -> bool:
    """Tell whether the process has ended."""
    if pid is None:
        return True
    try:
        # A zombie that nobody collects has ended, too.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
