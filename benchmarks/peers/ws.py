"""The `ws` library of Node as the other messaging server."""

import json
import shutil
from pathlib import Path

from benchmarks.peers import addresses
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError

SUBSCRIBE, PUBLISH = "/subscribe", "/publish"

_PROGRAM = Path(__file__).with_name("ws_broadcast.mjs")
_PACKAGES = Path(__file__).parents[2] / "tests" / "sdk" / "js"
"""Where the tests' published SDK is installed, and `ws` with it."""


def version() -> str:
    """Return the library's version. Raises `CommandError` if it is not installed."""
    manifest = _PACKAGES / "node_modules" / "ws" / "package.json"
    if not manifest.exists():
        raise CommandError("the library ws is not installed: scripts/install_test_packages.sh")
    return str(json.loads(manifest.read_text())["version"])


def ws(folder: Path) -> Process:
    """Start the server. Raises `CommandError`."""
    version()
    node = shutil.which("node")
    if node is None:
        raise CommandError("Node is not installed: install Debian's package nodejs")
    host, port = addresses.WS
    argv = [node, str(_PROGRAM), host, str(port), str(_PACKAGES / "package.json")]
    return Process(argv, addresses.WS, folder / "ws.log", measured=True)
