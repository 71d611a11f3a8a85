"""A client made of the published JavaScript SDK (npm `centrifuge`), in a Node process of its own."""

import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.sdk.client import PATIENCE, CallFailed, SdkClient

FOLDER = Path(__file__).parent / "js"

_OPTIONS = {"join_leave": "joinLeave"}
"""Names of options that the SDK spells otherwise."""


def why_not() -> str:
    """Return why the SDK cannot be driven here, or an empty text."""
    if shutil.which("node") is None:
        return "no node on PATH"
    if not (FOLDER / "node_modules" / "centrifuge").exists():
        return "the JavaScript SDK is not installed: run scripts/install_test_packages.sh"
    return ""


class JavaScriptClient(SdkClient):
    """Talks with `driver.mjs`; one line of JSON is a command, an answer or an event."""

    def __init__(
        self,
        url: str,
        *,
        tokens: Sequence[str] = (),
        protobuf: bool = False,
        transport: str = "websocket",
        **options: Any,
    ) -> None:
        super().__init__()
        self.protobuf = protobuf
        given = {"minReconnectDelay": 100, **options}
        self._argv = [
            "node", "driver.mjs", *(["--protobuf"] if protobuf else []), "--transport", transport,
            json.dumps({"url": url, "tokens": list(tokens), "options": given}),
        ]  # fmt: skip
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process."""
        assert self._process is None, "started already"
        self._process = subprocess.Popen(
            self._argv, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, name="js-client", daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """End the process: the SDK gets no chance to say goodbye, as with a closed page."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if self._reader is not None:
            self._reader.join(PATIENCE)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Send a command, and return its result. Raises `CallFailed`."""
        if "options" in arguments:
            arguments["options"] = {_OPTIONS.get(key, key): value for key, value in arguments["options"].items()}
        number = next(self._numbers)
        assert self._process is not None, "not started"
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": name, **arguments}) + "\n")
        self._process.stdin.flush()
        with self._news:
            if not self._news.wait_for(lambda: number in self._answers, PATIENCE):
                raise AssertionError(f"the SDK does not answer {name} {arguments}; events: {self.events[-5:]}")
            answer = self._answers.pop(number)
        if "error" in answer:
            raise CallFailed(answer["error"]["code"], answer["error"]["message"])
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "event" in said:
                self.note(said)
            else:
                with self._news:
                    self._answers[said["id"]] = said
                    self._news.notify_all()
        self.note({"event": "ended"})
