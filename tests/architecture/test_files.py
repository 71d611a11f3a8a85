"""Files of the project: short, named after what they hold, and said what for."""

import ast
from pathlib import Path

import flux_gateway

ROOT = Path(flux_gateway.__file__).parent
LONGEST = 400
SHAPELESS = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
CODE = {".py", ".lua", ".js", ".css", ".html"}


def sources(*kinds: str) -> list[Path]:
    return [file for file in sorted(ROOT.rglob("*")) if file.suffix in kinds]


def test_there_are_sources_to_judge() -> None:
    assert len(sources(".py")) > 50


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in sources(*CODE)}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_a_file_s_name_says_what_it_holds() -> None:
    assert [str(file) for file in sources(*CODE) if set(file.stem.split("_")) & SHAPELESS] == []


def undocumented(text: str) -> list[str]:
    """Return the public modules, classes, functions and methods without a docstring."""
    found: list[str] = []

    def visit(node: ast.AST, path: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if child.name.startswith("_"):
                    continue
                if ast.get_docstring(child) is None:
                    found.append(path + child.name)
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{path}{child.name}.")

    module = ast.parse(text)
    if text.strip() and ast.get_docstring(module) is None:
        found.append("the module")
    visit(module, "")
    return found


def test_everything_public_has_a_docstring() -> None:
    missing = {str(file.relative_to(ROOT)): undocumented(file.read_text()) for file in sources(".py")}
    assert {name: names for name, names in missing.items() if names} == {}


def test_what_has_no_docstring_is_found() -> None:
    text = "class A:\n    'x'\n    def f(self): ...\n    def _g(self): ...\nasync def h():\n    def inner(): ...\n"
    assert undocumented(text) == ["the module", "A.f", "h"]
    assert undocumented("'x'\ndef f():\n    'y'\n") == []
