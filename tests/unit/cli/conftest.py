"""A deployed cluster as the command line sees it: real daemons, and a file that tells where they are."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import HEARTBEAT, REDIS_PORT, Stack

REPOSITORY = Path(__file__).parents[3]


class Host:
    """Runs `flux` in a folder of its own, as on a host that has the file."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.folder, self.stack = folder, stack
        self.file = folder / "flux.toml"

    def write(self, client: str = "", redis: str = "") -> Path:
        """Write the file: the sections as deployed, and lines on top."""
        self.file.write_text(
            f'[client]\nurl = "{self.stack.proxies[0].url}"\ntoken_file = "{self.stack.token_file}"\n{client}\n'
            f'[redis]\nhost = "{self.stack.host(3, 1)}"\nport = {REDIS_PORT}\nheartbeat_interval = {HEARTBEAT}\n'
            f"{redis}\n"
        )
        return self.file

    def environment(self) -> dict[str, str]:
        """Return the environment of a command."""
        mine = {"COLUMNS": "120", "FLUX_DEPLOYED": str(self.file), "PYTHONPATH": str(REPOSITORY)}
        return {**{name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}, **mine}

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "flux_gateway", *arguments], cwd=self.folder, env=self.environment(), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def flux(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        """Run a command, expect its exit status, and return (standard output, standard error)."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == status, f"status {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    def json(self, *arguments: str) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.flux(*arguments, "--json")[0])


@pytest.fixture(scope="session")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, two gateways and a proxy."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.redis()
        for _ in range(2):
            stack.gateway(wait=False)
        for gateway in stack.nodes:
            gateway.wait_ready()
        stack.proxy()
        yield stack


@pytest.fixture
def host(tmp_path: Path, daemons: Stack) -> Host:
    """A host with the file as deployed."""
    made = Host(tmp_path, daemons)
    made.write()
    return made
