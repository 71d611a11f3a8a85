"""The two versions of Redis that clusters are tested with: the one that comes with the package, and Redis 7."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

_ROOT = Path(__file__).parents[3]

_UNPACKED = _ROOT / "tests" / ".redis-7"
"""Where scripts/install_test_packages.sh unpacks Debian's Redis: it is not installed, nobody else gets to see it."""


class RedisVersion(NamedTuple):
    """A redis-server, and what its environment needs to be."""

    number: str
    binary: Path
    environment: Mapping[str, str]

    def check(self) -> None:
        """Skip the test if it is not there."""
        if not self.binary.exists():
            pytest.skip(f"needs Redis {self.number} as {self.binary}: run scripts/install_test_packages.sh")


def _unpacked() -> RedisVersion:
    libraries = ":".join(str(one) for one in (_UNPACKED / "usr" / "lib").glob("*-linux-gnu*"))
    return RedisVersion("7", _UNPACKED / "usr/bin/redis-server", {**os.environ, "LD_LIBRARY_PATH": libraries})


EMBEDDED = RedisVersion("6.2", Path(sys.executable).parent / "redis-server", os.environ)
"""Without sharded pub/sub."""

SEVEN = _unpacked()
