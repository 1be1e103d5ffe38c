"""Wells stand by row, then column, on plates of more than 26 rows too; a well that lost its images still counts."""

from pathlib import Path

import numpy as np
import tifffile

from hcs_mesh.plates import Missing, build_plate, plan
from hcs_mesh.plates.model import Image
from hcs_mesh.plates.wells import row_label, well_label, well_order


def test_rows_run_from_a_to_z_and_on_with_aa() -> None:
    wells = [well_label(row, column) for row in range(32) for column in range(48)]
    assert sorted(set(wells), key=well_order) == wells


def test_a_folder_of_a_1536_well_plate_is_planned_in_the_order_of_its_rows(tmp_path: Path) -> None:
    rows = [row_label(row) for row in range(32)]
    for row in rows:
        tifffile.imwrite(tmp_path / f"{row}48.tif", np.zeros((2, 2), np.uint8))
    for row in ("B", "AB"):
        (tmp_path / f"{row}47.tif").write_bytes(b"")
    (plate,) = plan(tmp_path, pattern="{well}.tif").plates
    assert plate.wells == tuple(f"{row}48" for row in rows)
    assert [one.well for one in plate.missing] == ["B47", "AB47"]
    assert [well for well in plate.declared_wells if well[-2:] == "47"] == ["B47", "AB47"]
    assert list(plate.declared_wells) == sorted(plate.declared_wells, key=well_order)


def test_a_plate_cut_to_a_well_without_images_keeps_what_is_missing_there() -> None:
    one = Image("A01", 1, 0, 0, 0, "plane", "a.tif", 0, 2, 2, "uint8")
    missing = (Missing(well="A02", field=1, c=0, z=0, t=0),)
    plate = build_plate([one], id=1, name="x", missing=missing)
    assert plate.wells == ("A01",)
    assert plate.declared_wells == ("A01", "A02")
    cut = plate.only(("A02",))
    assert (cut.wells, cut.declared_wells, cut.missing) == ((), ("A02",), missing)
