"""Writes into pyproject.toml what follows from the tree: the packages, and the pure modules.

    python tools/lists.py

A package is a folder with an __init__.py in a room; a module is pure when the first line of its docstring
ends in "(pure).". A test holds both lists against the tree.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
PACKAGES = re.compile(r"(?<=^packages = \[\n).*?(?=^\]$)", re.MULTILINE | re.DOTALL)
PURE_MODULES = re.compile(r'(?<=^name = "Pure modules).*?^source_modules = \[\n(.*?)^\]$', re.MULTILINE | re.DOTALL)


def main() -> int:
    """Bring both lists up to date; always 0."""
    before = PROJECT.read_text(encoding="utf-8")
    after = PACKAGES.sub(toml_lines(packages()), before, count=1)
    pure = PURE_MODULES.search(after)
    if pure is None:
        raise LookupError("pyproject.toml has lost the contract of the pure modules")
    after = after[: pure.start(1)] + toml_lines(pure_modules()) + after[pure.end(1) :]
    if after != before:
        PROJECT.write_text(after, encoding="utf-8")
        print("pyproject.toml lists what is there now.")
    return 0


def packages() -> list[str]:
    """Every package of every room."""
    return sorted(module for module, file in modules() if file.name == "__init__.py")


def pure_modules() -> list[str]:
    """Every module that says it is pure."""
    return sorted(module for module, file in modules() if says_pure(file))


def says_pure(file: Path) -> bool:
    """Whether the first line of the module's docstring ends in "(pure)."."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".").endswith("(pure)")


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the rooms under the name it is imported by, with its file."""
    rooms = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["setuptools"]["package-dir"]
    for package, folder in rooms.items():
        room = PROJECT.parent / folder
        for file in room.rglob("*.py"):
            inner = file.relative_to(room).with_suffix("").parts
            yield ".".join((package, *(inner[:-1] if inner[-1] == "__init__" else inner))), file


def toml_lines(names: Iterable[str]) -> str:
    """The names as lines of a TOML list."""
    return "".join(f'    "{name}",\n' for name in names)


if __name__ == "__main__":
    sys.exit(main())
