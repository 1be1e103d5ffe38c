"""Every kind of error that can reach a person stands on the administrator's page, with what to do."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import hcs_mesh
from hcs_mesh.config import MeshError

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def kinds(above: type[MeshError] = MeshError) -> Iterator[str]:
    for kind in above.__subclasses__():
        if kind.__module__.startswith("hcs_mesh.") and not kind.__name__.startswith("_"):
            yield kind.__name__
        yield from kinds(kind)


def test_every_kind_of_error_stands_on_the_administrators_page() -> None:
    for module in pkgutil.walk_packages(hcs_mesh.__path__, "hcs_mesh."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    _, _, messages = OPERATIONS.read_text().partition("## Every message")
    rows = re.findall(r"^\| ([A-Z][A-Za-z, ]+) \| .+ \| .+ \|$", messages, re.MULTILINE)
    told = {kind for row in rows for kind in row.split(", ")} - {"Kind"}
    assert sorted(set(kinds()) ^ told) == []
