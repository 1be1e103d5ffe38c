"""The package is one package, whatever the checkout is called, and takes no optional part along."""

import subprocess
import sys
from pathlib import Path

EVERY_MODULE = """
import importlib, pkgutil, sys, hcs_mesh
for module in pkgutil.walk_packages(hcs_mesh.__path__, "hcs_mesh."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
files = {}
for name, module in list(sys.modules.items()):
    if name.startswith("hcs_mesh") or "hcs_mesh" in (getattr(module, "__file__", None) or ""):
        files.setdefault(module.__file__, []).append(name)
twice = {file: names for file, names in files.items() if len(names) > 1}
assert not twice, twice
assert len(files) > 50, files
"""

OPTIONAL_PARTS = """
import sys, hcs_mesh
optional = {"napari", "qtpy", "PyQt6", "vispy", "starlette", "uvicorn", "cupy", "omero", "matplotlib"}
assert not optional & set(sys.modules), optional & set(sys.modules)
"""


def run(program: str, folder: Path) -> str:
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True).stderr


def test_no_module_is_loaded_under_two_names(checkout: Path) -> None:
    # From the checkout, where a room could be taken for a package of its own.
    assert run(EVERY_MODULE, checkout) == ""


def test_the_package_imports_without_its_optional_parts(tmp_path: Path) -> None:
    assert run(OPTIONAL_PARTS, tmp_path) == ""
