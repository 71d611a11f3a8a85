"""The root file system that hosts share: built by mmdebstrap once, kept, and built anew when its recipe changes."""

import fcntl
import hashlib
import re
import shutil
from pathlib import Path

from tests.hosts.paths import CACHE, KEY
from tests.hosts.shell import run

_BARE = (
    "systemd", "systemd-sysv", "dbus", "iproute2", "iptables", "openssh-server", "python3", "python3-apt", "sudo",
    "procps", "curl", "ca-certificates",
)  # fmt: skip
"""What every Debian cloud image has, as far as the roles and drills rely on it."""

_SERVICES = ("redis-server", "redis-sentinel", "haproxy", "keepalived", "nftables")
"""What roles would install: there already, switched off, in the base `full`, so that tests need not fetch it again."""

_DISABLED = ("redis-server", "redis-sentinel", "haproxy", "keepalived", "nftables", "apt-daily.timer",
             "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap")  # fmt: skip

_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_OWN_SUITE = "bookworm"


def build(suite: str = "bookworm", *, full: bool = True) -> Path:
    """Return the root file system of a Debian suite, building it if it is not there (half a minute)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not KEY.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "flux test hosts", "-f", str(KEY))
        packages = (*_BARE, *_SERVICES) if full else _BARE
        recipe = "\n".join([Path(__file__).read_text(), suite, *packages, KEY.with_suffix(".pub").read_text()])
        root = CACHE / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        if not root.exists():
            _forget_older(suite, full)
            _bootstrap(suite, packages, root)
            (CACHE / f"{suite}-{'full' if full else 'bare'}").write_text(root.name)
        return root


def _forget_older(suite: str, full: bool) -> None:
    mark = CACHE / f"{suite}-{'full' if full else 'bare'}"
    if mark.exists() and not _in_use(CACHE / mark.read_text()):
        shutil.rmtree(CACHE / mark.read_text(), ignore_errors=True)


def _in_use(root: Path) -> bool:
    return f"lowerdir={root}" in Path("/proc/mounts").read_text()


def _bootstrap(suite: str, packages: tuple[str, ...], root: Path) -> None:
    sources = CACHE / f"{suite}.sources"
    # The machine's own mirror, whatever it is, for the suite that is wanted.
    sources.write_text(re.sub(rf"\b{_OWN_SUITE}\b", suite, _SOURCES.read_text()))
    unfinished = root.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", suite, str(unfinished), str(sources), timeout=900,
    )  # fmt: skip
    (unfinished / "etc/machine-id").write_text("")
    (unfinished / "etc/hostname").unlink(missing_ok=True)
    (unfinished / "etc/hosts").write_text("127.0.0.1 localhost\n")
    ssh = unfinished / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    (ssh / "authorized_keys").write_text(KEY.with_suffix(".pub").read_text())
    (unfinished / "etc/ssh/sshd_config.d/tests.conf").write_text("PermitRootLogin prohibit-password\nUseDNS no\n")
    for unit in _DISABLED:
        run("systemctl", f"--root={unfinished}", "disable", unit, check=False)
    unfinished.rename(root)
