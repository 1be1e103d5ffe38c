"""A mesh at home in OMERO, through the commands that a user types: a plate is analysed and seen by whom it is for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from omero_home import household
from omero_hub import COPIED, PLANES
from omero_lab import SETUP
from omero_plates import write_ome_plate

from omero_server.running import running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(600)]


def by_address(recording: Path) -> dict[tuple[str, str], Any]:
    """What a recorder wrote of acquired planes, by its names."""
    return {(path.parent.name, path.stem): tifffile.imread(path) for path in sorted(recording.rglob("*.tif"))}


def test_a_plate_in_omero_is_analysed_and_seen_by_its_owner_alone(mesh_up: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write_ome_plate(tmp_path / "source" / "plate.ome.tiff", PLANES)
    pipeline = tmp_path / "copied.py"
    pipeline.write_text(COPIED)
    with running_server(tmp_path / "omero", setup=SETUP) as server, household(mesh_up, server, tmp_path) as home:
        assert home.log_in("ada").returncode == 0
        done = home.until(home.hand_over("ada", tmp_path / "source"), "done", "failed")
        assert done["state"] == "done", done
        (plate,) = done["plates"]

        job = home.command("ada", "run", plate, pipeline, "--wait").value
        assert (job["state"], job["faults"], set(job["wells"])) == ("done", [], {"A01", "A02"})
        for well, of_well in job["wells"].items():
            files = sorted(Path(file) for file in of_well["files"] if "copy" in file)
            copies = PLANES[int(well[1:]) - 1, :, 1]
            for file, plane in zip(files, copies, strict=True):
                np.testing.assert_array_equal(tifffile.imread(file), plane)

        recorded = tmp_path / "recording"
        answer = home.command("ada", "view", "recorder", "--plate", plate, "--out", recorded, "--wait")
        assert answer.code == 0, answer
        seen = {plane.tobytes() for plane in by_address(recorded).values()}
        assert seen == {plane.tobytes() for plane in PLANES.reshape(-1, 40, 48)}

        assert home.log_in("grace").returncode == 0
        assert f"no plate {plate}" in home.command("grace", "run", plate, pipeline).refusal
        assert home.command("grace", "view", "recorder", "--plate", plate, "--out", tmp_path / "no", "--wait").code
        assert not list((tmp_path / "no").rglob("*.tif"))
