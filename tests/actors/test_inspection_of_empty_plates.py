"""A plate of which every file is damaged does not keep the plates beside it from being looked at."""

from pathlib import Path

import numpy as np
import tifffile

from hcs_mesh.actors.inspection import _first_and_last
from hcs_mesh.plates import plan


def test_only_plates_with_images_are_opened(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "good_A01.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "bad_A01.tif").write_bytes(b"II*\0")
    found = plan(tmp_path, pattern="{plate}_{well}.tif")
    assert sorted(plate.n_images for plate in found.plates) == [0, 1]
    assert [one.file for one in _first_and_last(found, tmp_path)] == ["good_A01.tif"]
