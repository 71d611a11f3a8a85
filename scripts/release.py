"""Packs a release for the machines of a cluster, on the controller: the package, its locked dependencies and pip.

    python scripts/release.py name
    python scripts/release.py pack --python 3.11 --machine x86_64 [--source wheelhouse|index]

`name` prints what the release is called: the version and a hash of everything that is packed, so that two releases of
one name are the same. `pack` makes `.wheelhouse/<name>-<target>.tar` unless it is there, and prints one JSON object.
With `--source index` the dependencies are left out: the target fetches them itself, from its own index.
Standard library and pip only.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKED = ("flux_gateway", "pyproject.toml", "README.md", "LICENSE", "requirements/runtime.txt")
LOCK = "requirements/runtime.txt"


def files(source: Path) -> list[Path]:
    """Return every file that makes up a release, in a fixed order."""
    found = []
    for name in PACKED:
        path = source / name
        found += [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [file for file in found if "__pycache__" not in file.parts and file.suffix != ".pyc"]


def release_name(source: Path) -> str:
    """Return `<version>-<hash>`."""
    digest = hashlib.sha256()
    for file in files(source):
        digest.update(f"{file.relative_to(source)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    version = re.search(r'__version__ = "([^"]+)"', (source / "flux_gateway/__init__.py").read_text())
    if version is None:
        raise SystemExit(f"release: no __version__ in {source / 'flux_gateway/__init__.py'}")
    return f"{version[1]}-{digest.hexdigest()[:8]}"


def pip(*arguments: str) -> None:
    """Run pip; its complaint becomes ours."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"release: pip {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def platforms(machine: str) -> list[str]:
    """Return the flags that ask for wheels of Debian 12 and newer on this kind of machine, newest first."""
    flags = []
    for minor in range(36, 16, -1):  # glibc 2.36 is Debian 12's
        flags += ["--platform", f"manylinux_2_{minor}_{machine}"]
    return [*flags, "--platform", f"manylinux2014_{machine}"]


def gather(source: Path, folder: Path, python: str, machine: str, with_dependencies: bool) -> None:
    """Put the package's wheel, pip, the lock file and, if wanted, the wheels of the lock into a folder."""
    pip("wheel", "--no-deps", *_isolation(), "--wheel-dir", str(folder), str(source))
    target = ["--only-binary=:all:", "--no-deps", "--implementation", "cp", "--python-version", python,
              *platforms(machine), "--dest", str(folder)]  # fmt: skip
    lock = source / LOCK
    if with_dependencies:
        pip("download", "--require-hashes", *target, "--requirement", str(lock))
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as only:
            only.write(_entry(lock.read_text(), "pip"))
            only.flush()
            pip("download", "--require-hashes", *target, "--requirement", only.name)
    (folder / "requirements.txt").write_bytes(lock.read_bytes())


def _isolation() -> list[str]:
    """The locked setuptools of the controller's own environment builds, where there is one."""
    return ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []


def _entry(lock: str, name: str) -> str:
    """Return one requirement of the lock file with its hashes."""
    found = re.search(rf"^{name}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"release: {name} is not in {LOCK}")
    return found[0]


def pack(source: Path, into: Path, python: str, machine: str, kind: str) -> dict[str, str | bool]:
    """Return name, file and whether it was made now."""
    name = release_name(source)
    archive = into / f"{name}-cp{python.replace('.', '')}-{machine}-{kind}.tar"
    into.mkdir(parents=True, exist_ok=True)
    # setuptools builds inside the tree: only one at a time.
    with (into / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=into) as temporary:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            return {"name": name, "file": str(archive), "made": False}
        folder = Path(temporary) / "packages"
        folder.mkdir()
        gather(source, folder, python, machine, kind == "wheelhouse")
        unfinished = Path(temporary) / "release.tar"
        with tarfile.open(unfinished, "w") as tar:
            for file in sorted(folder.iterdir()):
                tar.add(file, arcname=file.name)
        unfinished.rename(archive)
    return {"name": name, "file": str(archive), "made": True}


def main() -> None:
    """Carry out one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["name", "pack"])
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to pack [default: this one]")
    parser.add_argument("--into", type=Path, default=ROOT / ".wheelhouse", help="where the archive goes")
    parser.add_argument("--python", default="3.11", help="the target's Python")
    parser.add_argument("--machine", default="x86_64", help="the target's machine, as `uname -m` calls it")
    parser.add_argument("--source", choices=["wheelhouse", "index"], default="wheelhouse")
    given = parser.parse_args()
    if given.command == "name":
        print(release_name(given.root))  # noqa: T201
    else:
        print(json.dumps(pack(given.root, given.into, given.python, given.machine, given.source)))  # noqa: T201


if __name__ == "__main__":
    main()
