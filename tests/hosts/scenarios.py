"""Molecule scenarios run two at a time: most of their time they wait for hosts."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "test-output" / "molecule"

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Scenario(msgspec.Struct, frozen=True):
    """One scenario of a role, or of the whole cluster."""

    folder: Path
    """Where `molecule` is called."""
    name: str

    @property
    def title(self) -> str:
        """A short name for people and files."""
        return self.name if self.folder == ROOT else f"{self.folder.name}-{self.name}"


class Outcome(msgspec.Struct, frozen=True):
    """How a scenario ended."""

    passed: bool
    output: str


def of_roles() -> list[Scenario]:
    """Return every scenario of every role."""
    files = sorted(ROOT.glob("roles/*/molecule/*/molecule.yml"))
    return [Scenario(file.parents[2], file.parent.name) for file in files]


def of_clusters() -> list[Scenario]:
    """Return the scenarios of whole clusters."""
    return [Scenario(ROOT, file.parent.name) for file in sorted(ROOT.glob("molecule/*/molecule.yml"))]


def missing() -> str:
    """Return what keeps scenarios from running here; empty when nothing does."""
    if os.geteuid() != 0:
        return "test hosts need root"
    absent = [name for name in ("systemd-nspawn", "mmdebstrap", "ip", "iptables", "ssh") if shutil.which(name) is None]
    return f"test hosts need {', '.join(absent)}: scripts/install_test_packages.sh" if absent else ""


def run(scenario: Scenario) -> Outcome:
    """Run `molecule test`; hosts are gone afterwards, whatever happens. The output is kept in a file, too."""
    LOGS.mkdir(parents=True, exist_ok=True)
    binaries = str(Path(sys.executable).parent)
    done = subprocess.run(
        [f"{binaries}/molecule", "test", "--destroy", "always", "--scenario-name", scenario.name], cwd=scenario.folder,
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "160"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    output = _ANSI.sub("", done.stdout)
    (LOGS / f"{scenario.title}.log").write_text(output)
    return Outcome(done.returncode == 0, output)


class Running:
    """All scenarios under way. Started when the first one is asked for."""

    def __init__(self, scenarios: list[Scenario], at_once: int = 2) -> None:
        self._pool = ThreadPoolExecutor(at_once)
        self._futures: dict[str, Future[Outcome]] = {one.title: self._pool.submit(run, one) for one in scenarios}

    def outcome(self, title: str) -> Outcome:
        """Wait for a scenario and return how it ended."""
        return self._futures[title].result()

    def stop(self) -> None:
        """Start no more, and wait for those under way: each takes its hosts down."""
        self._pool.shutdown(cancel_futures=True)
