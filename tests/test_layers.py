"""Imports run downwards only, in the order in which the reference lists the packages."""

from __future__ import annotations

import ast
from pathlib import Path

import polysense

PACKAGE = Path(polysense.__file__).parent
INDEX = Path(__file__).parent.parent / "docs" / "reference" / "index.md"
TOP = "polysense"
"""In the list, the modules that are in no package; the front door and the program itself know everything."""


def listed() -> list[str]:
    """The packages from the top down."""
    tree = INDEX.read_text(encoding="utf-8").split("```{toctree}")[1].split("```")[0]
    return [line for line in tree.splitlines() if line and not line.startswith(":")]


def imported(source: str) -> set[str]:
    """What a module imports of this package, wherever in it, as parts of the list."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts = [name.split(".") for name in names]
        found |= {part_of(part[1]) for part in parts if part[0] == TOP and len(part) > 1}
    return found


def part_of(name: str) -> str:
    """A package's own name; `TOP` for a module that is in none."""
    return name if (PACKAGE / name).is_dir() else TOP


def test_the_list_is_whole() -> None:
    packages = {folder.name for folder in PACKAGE.iterdir() if any(folder.glob("*.py"))}
    assert sorted(listed()) == sorted({*packages, TOP})


def test_no_module_knows_what_is_above_it() -> None:
    order = listed()
    doors = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    upwards = [
        f"{file.relative_to(PACKAGE)} imports {other}"
        for file in sorted({*PACKAGE.rglob("*.py")} - doors)
        for other in sorted(imported(file.read_text(encoding="utf-8")))
        if order.index(other) < order.index(part_of(file.relative_to(PACKAGE).parts[0]))
    ]
    assert not upwards


def test_what_counts_as_an_import() -> None:
    assert imported("from polysense.text import Text") == {TOP}
    assert imported("def f():\n    from polysense import models\n    import polysense.cli.train") == {"models", "cli"}
    assert imported("import numpy\nfrom . import x") == set()
