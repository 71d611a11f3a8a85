"""Imports run one way (design, section 10), and the checker that says so can fail."""

from pathlib import Path

import pytest

import flux_gateway
from tests.architecture.imports import faults

ROOT = Path(flux_gateway.__file__).parent


def test_every_import_of_the_project_runs_the_right_way() -> None:
    assert faults(ROOT) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A made-up package without a fault."""
    root = tmp_path / "made_up"
    for name, text in {
        "__init__.py": "__version__ = '1'",
        "core/a.py": "import re\nfrom made_up.core import b",
        "core/b.py": "from . import a\nimport datetime",
        "messaging/a.py": "from made_up.core.a import x",
        "runtime/a.py": "import asyncio, os\nimport made_up.core.a",
        "registry/a.py": "from made_up.runtime import a\nfrom made_up import __version__",
        "proxy/a.py": "from ..registry import a\nfrom .b import c",
        "cli/a.py": "def f():\n    from made_up.proxy import a",
        "__main__.py": "from made_up.cli.a import f",
    }.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_a_tree_without_a_fault_passes(tree: Path) -> None:
    assert faults(tree) == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("core/c.py", "import made_up.messaging.a", "core must not import made_up.messaging.a"),
        ("core/c.py", "from made_up import runtime", "core must not import made_up.runtime"),
        ("core/c.py", "from made_up import __version__", "core must import nothing of ours but itself"),
        ("core/c.py", "import time", "core is pure and must not import time"),
        ("core/c.py", "from asyncio import sleep", "core is pure and must not import asyncio"),
        ("core/deep/c.py", "from ... import cli", "core must not import made_up.cli"),
        ("core/c.py", "import importlib\nimportlib.import_module('os.path')", "core is pure and must not import os"),
        ("messaging/c.py", "import redis.asyncio", "messaging is pure and must not import redis"),
        ("messaging/c.py", "import made_up.runtime.a", "messaging must not import made_up.runtime.a"),
        ("runtime/c.py", "from made_up.registry.a import x", "runtime must not import made_up.registry.a"),
        ("registry/c.py", "import made_up.broker", "registry must not import made_up.broker"),
        ("proxy/c.py", "from made_up.gateway import a", "proxy must not import made_up.gateway"),
        ("gateway/c.py", "def f():\n  from made_up import proxy", "gateway must not import made_up.proxy"),
        ("dashboard/c.py", "if 1:\n  import made_up.supervisor", "dashboard must not import made_up.supervisor"),
        ("load/c.py", "from ..cli import a", "load must not import made_up.cli"),
        ("load/c.py", "import_module('made_up.proxy')", "load must not import made_up.proxy"),
        ("load/c.py", "import_module(name)", "imports a module not known before it runs"),
        ("cli/c.py", "import made_up.__main__", "cli must not import made_up.__main__"),
        ("novel/c.py", "", "the part 'novel' has no rank"),
    ],
)  # fmt: skip
def test_a_wrong_way_import_is_found(tree: Path, name: str, text: str, fault: str) -> None:
    file = tree / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    (found,) = faults(tree)
    assert found.startswith(name)
    assert fault in found
