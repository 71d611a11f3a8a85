"""The example chat, started as a user would: its back end over a cluster, and who enters there without a browser."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.cluster import free_port
from tests.processes import until

FOLDER = Path(__file__).parents[1] / "examples" / "chat"


class Chat:
    """Runs the back end. Use it as a context manager."""

    def __init__(self, state_dir: Path, port: int = 0) -> None:
        self.state_dir = state_dir
        self.port = port or free_port()
        self.url = f"http://localhost:{self.port}/"
        self._log = state_dir / "logs" / "chat.log"

    def __enter__(self) -> Self:
        command = [
            sys.executable, str(FOLDER / "backend.py"), "--state-dir", str(self.state_dir), "--port", str(self.port),
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._started, "the chat runs", 20)
        return self

    def _started(self) -> bool:
        said = self._log.read_text()
        assert self._process.poll() is None, said
        return self.url in said

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def enter(self, name: str) -> dict[str, Any]:
        """Enter under a name, and return what the page would get: token, user, channel, port."""
        body = json.dumps({"name": name}).encode()
        request = Request(f"{self.url}enter", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
