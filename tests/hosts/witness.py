"""Clients that talk while something happens to a deployed cluster: `flux load`, from outside, as a process."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_READY = 30.0
"""Seconds until every client must be connected."""


class Witness:
    """500 clients and 20 newcomers a second, for the length of a `with` block; `report` is there after it."""

    def __init__(
        self, url: str, *, expect: str, clients: int = 500, return_within: float | None = 2.0,
        newcomer_retries: int = 0, flood: int = 0, lost: int = 0,
    ) -> None:  # fmt: skip
        self._folder = tempfile.TemporaryDirectory(prefix="flux-witness-")
        self._file = Path(self._folder.name) / "report.json"
        self._clients = clients
        self._argv = [
            sys.executable, "-m", "flux_gateway", "load", "--url", f"{url}/echo", "--clients", str(clients),
            "--duration", "600", "--expect", expect, "--report", str(self._file),
            "--lost-at-most", str(lost),
        ]  # fmt: skip
        self._lost = lost
        # A flood: every client keeps so many messages in flight, and there are no newcomers.
        self._argv += ["--rate", "0", "--window", str(flood)] if flood else [
            "--rate", "4", "--newcomers", "20", "--newcomer-retries", str(newcomer_retries),
        ]  # fmt: skip
        if return_within is not None:
            self._argv += ["--return-within", str(return_within)]
        self._process: subprocess.Popen[str] | None = None
        self.result: dict[str, Any] = {}
        self.said = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL
        )
        time.sleep(3)  # the ramp, and a moment of peace: the fault must meet clients that talk
        assert self._process.poll() is None, self._process.communicate()[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self.said, _ = self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.said, _ = self._process.communicate()
        if self._file.exists():
            self.result = json.loads(self._file.read_text())
        self._folder.cleanup()

    def check(self) -> dict[str, Any]:
        """Fail unless every invariant held; return the report."""
        assert self.result, self.said
        assert self.result["ok"], self.said
        return judged(self.result, self._clients, self._lost)


def judged(result: dict[str, Any], clients: int, lost: int = 0) -> dict[str, Any]:
    """Fail unless a report of `flux load` tells of clients that really talked; return it."""
    assert result["ok"], result["broken"]
    counts = result["report"]["counts"]
    assert counts["connects"] >= clients
    assert counts["received"] > clients
    assert counts["lost"] <= lost
    assert (counts["doubled"], counts["reordered"], counts["corrupt"]) == (0, 0, 0)
    assert result["newcomers"]["failed"] == 0
    assert result["newcomers"]["served"] > 20
    return result
