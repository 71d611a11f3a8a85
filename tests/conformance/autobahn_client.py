"""Runs inside the suite's own environment: the fuzzing client, by a specification file given as the only argument."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


class FastMasker:
    """XOR-masks like Autobahn's own masker, which takes a second for a mebibyte in Python alone."""

    def __init__(self, mask: bytes) -> None:
        self._mask = mask
        self._at = 0

    def pointer(self) -> int:
        """Bytes masked so far."""
        return self._at

    def reset(self) -> None:
        """Begin with the mask's first byte again."""
        self._at = 0

    def process(self, data: bytes) -> bytes:
        """Mask the next bytes."""
        size, shift = len(data), self._at & 3
        self._at += size
        mask = (self._mask * (size // 4 + 2))[shift : shift + size]
        return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def main(specification: Path) -> None:
    """Run all cases of the specification; the suite writes its report and stops the reactor."""
    protocol: Any = importlib.import_module("autobahn.websocket.protocol")
    protocol.createXorMasker = lambda mask, length=None: FastMasker(mask)
    fuzzing: Any = importlib.import_module("autobahntestsuite.fuzzing")
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    fuzzing.startClient(json.loads(specification.read_text()))
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
