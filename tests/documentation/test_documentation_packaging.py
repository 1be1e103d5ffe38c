"""What stands in pyproject.toml is what stands in the tree."""

import ast
import itertools
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def tools(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def rooms(checkout: Path, tools: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    for package, folder in tools["setuptools"]["package-dir"].items():
        yield package, checkout / folder


def module_name(package: str, room: Path, file: Path) -> str:
    inner = file.relative_to(room).with_suffix("").parts
    return ".".join((package, *inner[:-1]) if inner[-1] == "__init__" else (package, *inner))


def test_every_package_of_every_room_is_listed(checkout: Path, tools: dict[str, Any]) -> None:
    found = {
        module_name(package, room, file)
        for package, room in rooms(checkout, tools)
        for file in room.rglob("__init__.py")
    }
    assert sorted(tools["setuptools"]["packages"]) == sorted(found)


def test_every_folder_with_modules_is_a_package(checkout: Path, tools: dict[str, Any]) -> None:
    folders = {file.parent for _, room in rooms(checkout, tools) for file in room.rglob("*.py")}
    assert sorted(folder for folder in folders if not (folder / "__init__.py").exists()) == []


def test_every_file_of_the_rooms_is_installed(checkout: Path, tools: dict[str, Any]) -> None:
    absent = [
        str(file.relative_to(checkout))
        for package, room in rooms(checkout, tools)
        for file in room.rglob("*")
        if file.is_file()
        and not any(part == "__pycache__" or part[0] == "." for part in file.relative_to(room).parts)
        and not files("hcs_mesh").joinpath(*package.split(".")[1:], *file.relative_to(room).parts).is_file()
    ]
    assert absent == [], "named in pyproject's package-data?"


def test_the_pure_modules_are_those_of_the_contract(checkout: Path, tools: dict[str, Any]) -> None:
    says_pure = set()
    for package, room in rooms(checkout, tools):
        for file in room.rglob("*.py"):
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            first_line = docstring.partition("\n")[0]
            if first_line.rstrip(".").endswith("(pure)"):
                says_pure.add(module_name(package, room, file))
    (contract,) = [entry for entry in tools["importlinter"]["contracts"] if entry["name"].startswith("Pure modules")]
    assert sorted(contract["source_modules"]) == sorted(says_pure)


def test_test_files_have_names_of_their_own(checkout: Path) -> None:
    names = [file.name for file in (checkout / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_everything_the_environments_hold_is_pinned_without_addresses(checkout: Path) -> None:
    lines = (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if pin.count("==") != 1 or "/" in pin or "@" in pin or " " in pin] == []
    pinned = {canonicalize_name(pin.partition("==")[0]) for pin in pins}
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked_for = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {canonicalize_name(Requirement(requirement).name) for requirement in asked_for}
    assert sorted(names - pinned) == []
