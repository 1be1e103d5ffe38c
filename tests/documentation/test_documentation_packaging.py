"""What stands in pyproject.toml is what stands in the tree."""

import itertools
import runpy
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


@pytest.fixture(scope="module")
def lists(checkout: Path) -> dict[str, Any]:
    """What tools/lists.py finds in the tree."""
    return runpy.run_path(str(checkout / "tools" / "lists.py"))


def rooms(checkout: Path, tools: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    for package, folder in tools["setuptools"]["package-dir"].items():
        yield package, checkout / folder


def test_every_package_of_every_room_is_listed(tools: dict[str, Any], lists: dict[str, Any]) -> None:
    assert tools["setuptools"]["packages"] == lists["packages"](), "'make lists' mends this"


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


def test_the_pure_modules_are_those_of_the_contract(tools: dict[str, Any], lists: dict[str, Any]) -> None:
    (contract,) = [entry for entry in tools["importlinter"]["contracts"] if entry["name"].startswith("Pure modules")]
    assert contract["source_modules"] == lists["pure_modules"](), "'make lists' mends this"


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
