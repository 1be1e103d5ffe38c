"""A facility's own planner: an installed distribution whose entry point names it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from installed_package import install

from hcs_mesh.plates import PlanError, plan
from hcs_mesh.plates.errors import PlannerFailed
from hcs_mesh.plates.planning import BUILT_IN, ENTRY_POINTS, planners

PLANNER = '''
"""A planner that takes every TIFF file for one plate of its own."""
from hcs_mesh.plates.planners import Fileset, Folder, Plan, PlaneTable, is_tiff, planned_files


def plan_lab(folder: Folder) -> Plan:
    files = [path for path in folder.files if is_tiff(path)]
    table = PlaneTable(folder)
    for number, path in enumerate(files, 1):
        table.claim("H12", path, field=number)
    plate = table.plate(name="the lab's", n_rows=8, n_columns=12, channels=("all",))
    return Plan(filesets=(Fileset(planner="lab", root="", files=planned_files(folder, files), plates=(plate,)),))
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder that the built-in planner of ImageXpress would take."""
    folder = tmp_path / "source"
    folder.mkdir()
    name = f"p_A01_s1_w1{1:08X}-0000-4000-8000-00000000000A.tif"
    tifffile.imwrite(folder / name, np.zeros((6, 8), np.uint16))
    return folder


def test_an_installed_planner_is_asked_first(site: Path, source: Path) -> None:
    (fileset,) = plan(source).filesets
    assert fileset.planner == "imagexpress"
    (site / "lab_planner_module.py").write_text(PLANNER)
    install(site, ENTRY_POINTS, "lab", "lab_planner_module:plan_lab")
    own, *others = planners()
    assert own.__name__ == "plan_lab"
    assert tuple(others) == BUILT_IN
    (fileset,) = plan(source).filesets
    assert (fileset.planner, fileset.plates[0].name, fileset.plates[0].wells) == ("lab", "the lab's", ("H12",))


@pytest.mark.parametrize("entry_point", ["no_such_module_of_a_lab:plan", "json:no_such_function", "json:__name__"])
def test_a_planner_that_cannot_be_used_is_named(site: Path, source: Path, entry_point: str) -> None:
    install(site, ENTRY_POINTS, "broken", entry_point)
    with pytest.raises(PlanError, match="the planner 'broken'") as caught:
        plan(source)
    assert "uninstall" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 1 // 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("return None", "answered with NoneType"),
    ],
)
def test_a_planner_that_fails_is_named_with_what_it_read_last(site: Path, source: Path, body: str, told: str) -> None:
    (site / "failing_module.py").write_text(
        f"def plan_so(folder):\n    folder.tiff(next(iter(folder.files)))\n    {body}\n"
    )
    install(site, ENTRY_POINTS, "failing", "failing_module:plan_so")
    with pytest.raises(PlannerFailed, match=rf"the planner failing_module\.plan_so .*{told}") as caught:
        plan(source)
    assert caught.value.culprit.endswith(".tif")
    sys.modules.pop("failing_module")


def test_a_planner_that_leaves_an_image_behind_is_told_before_anything_is_copied(site: Path, source: Path) -> None:
    (site / "lab_planner_behind.py").write_text(PLANNER.replace("planned_files(folder, files)", "()"))
    install(site, ENTRY_POINTS, "behind", "lab_planner_behind:plan_lab")
    with pytest.raises(PlannerFailed, match=r"has an image in p_A01.*which is not among the 0 files"):
        plan(source)
