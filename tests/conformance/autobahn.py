"""Runs the Autobahn test suite, the public judge of WebSocket implementations, against a URL.

    python tests/conformance/autobahn.py ws://127.0.0.1:8080/echo [OUTDIR]

The suite is Python 2 code. It is installed at a pinned version into a cache (`$XDG_CACHE_HOME/flux-gateway`), in an
environment of its own, and made to run under Python 3 by `autobahn_port.py`.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent

SUITE = "autobahntestsuite==25.10.1"
TOOLS = ("setuptools==80.9.0", "fissix==24.4.24", "six==1.17.0", "twisted==26.4.0", "zope.interface==8.7",
         "hyperlink==21.0.0", "incremental==24.11.0", "automat==25.4.16", "constantly==23.10.4",
         "attrs==26.1.0")  # fmt: skip
AUTOBAHN = ("autobahn==0.10.9", "txaio==2.1.0")
"""The versions the suite was written for. Their own requirements are met by `TOOLS`."""

SIZES = {12: (1, 3, 11), 13: (1, 3, 11)}
"""Of the 18 message sizes of each compression category, a sample: 1000 messages of 16, 256 and 8192 fragmented."""

CASES = (
    *(f"{category}.*" for category in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
    *(f"12.{data}.{size}" for data in range(1, 6) for size in SIZES[12]),
    *(f"13.{offer}.{size}" for offer in range(1, 8) for size in SIZES[13]),
)


class Unavailable(Exception):
    """The suite is not in the cache and cannot be fetched."""


class Verdict(NamedTuple):
    """What the suite says of one case: behaviour, and behaviour at the close."""

    behavior: str
    close: str

    @property
    def passed(self) -> bool:
        """Whether RFC 6455 is kept; NON-STRICT is a SHOULD, or left open by it."""
        return self.behavior in PASSED and self.close in PASSED


PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})


def environment() -> Path:
    """Return the folder of the ready suite, made now if it is not in the cache. Raises `Unavailable`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flux-gateway"
    recipe = repr((SUITE, TOOLS, AUTOBAHN, sys.version_info[:2])) + (HERE / "autobahn_port.py").read_text()
    ready = cache / f"autobahn-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not _works(ready):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as folder:
            made = Path(folder) / "made"
            _make(made)
            if ready.exists():
                ready.rename(Path(folder) / "broken")
            made.rename(ready)
    return ready


def _works(folder: Path) -> bool:
    python = folder / "venv/bin/python"
    return python.exists() and _run(folder, python, "-c", "import autobahntestsuite.fuzzing").returncode == 0


def _run(folder: Path, *command: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    # The suite's old Twisted idioms warn without end; that says nothing about the node.
    values = {"PYTHONPATH": str(folder / "suite"), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        command, env={**os.environ, **values}, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def _make(folder: Path) -> None:
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    downloads = folder / "downloads"
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    for arguments in (
        ("install", *TOOLS),
        ("install", "--no-deps", *AUTOBAHN),
        ("download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(downloads), SUITE),
    ):
        done = _run(folder, *pip, *arguments)
        if done.returncode:
            raise Unavailable(f"pip {arguments[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    (archive,) = downloads.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(downloads, filter="data")
    (source,) = downloads.glob("*/autobahntestsuite")
    done = _run(folder, python, HERE / "autobahn_port.py", source, folder / "suite/autobahntestsuite")
    if done.returncode:
        raise RuntimeError(f"the suite could not be converted:\n{done.stderr}")


def run(url: str, outdir: Path, cases: tuple[str, ...] = CASES, timeout: float = 180) -> Mapping[str, Verdict]:
    """Run the cases against a WebSocket URL that echoes; return the verdicts by case id. Raises `Unavailable`."""
    folder = environment()
    outdir.mkdir(parents=True, exist_ok=True)
    specification = outdir / "specification.json"
    specification.write_text(json.dumps({
        "outdir": str(outdir), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {},
        # Echoed payloads are compared byte for byte; validating them in Python once more takes minutes.
        "options": {"utf8validateIncoming": False}, "servers": [{"agent": "flux", "url": url}],
    }))  # fmt: skip
    python = folder / "venv/bin/python"
    # -P: beside the script lies this file, which has the name of the library.
    client = _run(folder, python, "-P", HERE / "autobahn_client.py", specification, timeout=timeout)
    (outdir / "client.log").write_text(client.stdout + client.stderr)
    try:
        report = json.loads((outdir / "index.json").read_text())["flux"]
    except (OSError, KeyError) as error:
        raise RuntimeError(f"the suite wrote no report:\n{client.stdout[-2000:]}{client.stderr[-2000:]}") from error
    return {case: Verdict(found["behavior"], found["behaviorClose"]) for case, found in report.items()}


if __name__ == "__main__":
    verdicts = run(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "test-output/autobahn"), timeout=3600)
    failed = {case: verdict for case, verdict in verdicts.items() if not verdict.passed}
    for case, verdict in sorted(failed.items()):
        print(f"{case}: {verdict.behavior}, close {verdict.close}")
    print(f"{len(verdicts)} cases, {len(failed)} failed")
    sys.exit(bool(failed))
