"""The operations of OMERO's interfaces, read off the modules that omero-py was generated with."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

_OPERATION = re.compile(r"^    (\w+)\._op_(\w+) = (IcePy\.Operation\(.*\))$", re.MULTILINE)
ASYNCHRONOUS, RETURNED = 3, 8
"""Where a declaration says whether it is dispatched asynchronously, and what it returns."""


class Operation(NamedTuple):
    """How the skeleton wants one operation: as ``name`` or as ``name_async``, with or without an answer."""

    name: str
    is_asynchronous: bool
    is_void: bool


def operations(skeleton: type) -> list[Operation]:
    """All operations of an Ice skeleton, its bases' included."""
    found: dict[str, Operation] = {}
    for base in skeleton.__mro__:
        for operation in _declared().get(base.__name__, []):
            found.setdefault(operation.name, operation)
    return list(found.values())


@functools.cache
def _declared() -> dict[str, list[Operation]]:
    found = importlib.util.find_spec("omero_API_ice")
    assert found is not None, "omero-py is not installed"
    assert found.origin is not None
    declared: dict[str, list[Operation]] = {}
    folder = Path(found.origin).parent
    for path in sorted(
        [*folder.glob("omero_*_ice.py"), *folder.glob("Glacier2_*_ice.py"), folder / "Ice_Router_ice.py"]
    ):
        if path.name.startswith("omero_model_"):
            continue
        for interface, name, call in _OPERATION.findall(path.read_text(encoding="utf-8")):
            tree = ast.parse(call, mode="eval").body
            assert isinstance(tree, ast.Call)
            is_asynchronous, returned = tree.args[ASYNCHRONOUS], tree.args[RETURNED]
            declared.setdefault(interface, []).append(
                Operation(
                    name,
                    is_asynchronous=isinstance(is_asynchronous, ast.Constant) and is_asynchronous.value is True,
                    is_void=isinstance(returned, ast.Constant) and returned.value is None,
                )
            )
    return declared
