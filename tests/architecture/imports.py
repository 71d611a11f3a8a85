"""Reads every import of a package with `ast`, also those inside functions, and judges their direction."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RANKS = {
    "core": 0,
    "messaging": 1,
    "runtime": 2,
    "registry": 3, "broker": 3, "keeper": 3,
    "gateway": 4, "proxy": 4, "dashboard": 4, "supervisor": 4, "load": 4,
    "cli": 5,
    "__main__": 6,
}  # fmt: skip
"""A part may import lower ranks and itself; parts of one rank never import each other."""

PURE = ("core", "messaging")
IMPURE = frozenset({
    "asyncio", "socket", "redis", "flask", "aiohttp", "time", "random", "secrets", "os", "logging",
    "threading", "subprocess", "selectors", "select", "uvloop", "psutil",
})  # fmt: skip
"""What a pure part may not import: clock, randomness, I/O, and what stands for them."""


class Import(NamedTuple):
    """One imported module, with absolute name, and where."""

    file: Path
    line: int
    module: str


def imports(file: Path, root: Path) -> Iterator[Import]:
    """Yield the modules a file imports. `root` is the folder of the package."""
    package = (root.name, *file.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield from (Import(file, node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            name = first.value if isinstance(first, ast.Constant) else None
            yield Import(file, node.lineno, name if isinstance(name, str) else "a module not known before it runs")


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def part_of(file: Path, root: Path) -> str:
    """Return the first folder (or module) below the package that a file belongs to."""
    return file.relative_to(root).parts[0].removesuffix(".py")


def faults(root: Path) -> list[str]:
    """Return every wrong-way import of the package in `root`, as sentences."""
    found = []
    for file in sorted(root.rglob("*.py")):
        part = part_of(file, root)
        if part != "__init__" and part not in RANKS:
            found.append(f"{file.relative_to(root)}: the part {part!r} has no rank")
            continue
        for one in imports(file, root):
            reason = _objection(part, one.module, root.name)
            if reason:
                found.append(f"{file.relative_to(root)}:{one.line}: {reason}")
    return found


def _objection(part: str, module: str, package: str) -> str:
    top, *below = module.split(".")
    if top != package:
        if part in PURE and (top in IMPURE or " " in module):
            return f"{part} is pure and must not import {top}"
        # The commands load what they need when they run; nothing of ours stands above them.
        return f"imports {module}" if " " in module and part != "cli" else ""
    target = below[0] if below else ""
    if part == "__init__":
        return f"the package itself must not import {module}"
    if target == part:
        return ""
    if target not in RANKS:  # the package itself: `from flux_gateway import __version__`
        return f"{part} must import nothing of ours but itself, not {module}" if part == "core" else ""
    if RANKS[target] >= RANKS[part]:
        return f"{part} must not import {module}"
    return ""
