"""A mesh at home in OMERO, through the commands that a user types: a plate is analysed and seen by whom it is for."""

import shutil
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

from hcs_mesh import BlockingClient
from hcs_mesh.layout import DataLayout
from hcs_mesh.transport import AskFailed
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


def files_of(folder: Path) -> dict[str, bytes]:
    """What a command wrote, by path, without the page, which says when."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".csv", ".tiff")
    }


def test_results_that_made_room_for_others_are_fetched_again_for_who_may_see_them(
    mesh_up: Callable[..., Any], tmp_path: Path, checkout: Path
) -> None:
    (tmp_path / "source").mkdir()
    write_ome_plate(tmp_path / "source" / "plate.ome.tiff", PLANES)
    pipeline = tmp_path / "specks.py"
    nuclei = (checkout / "examples" / "pipelines" / "nuclei.py").read_text()
    specks = nuclei.replace("min_area_px=300", "min_area_px=1").replace("distance_px=15", "distance_px=2")
    pipeline.write_text(
        specks.replace('remove_border_objects("pieces", to="whole"),', "").replace('"whole"', '"pieces"')
    )
    with running_server(tmp_path / "omero", setup=SETUP) as server, household(mesh_up, server, tmp_path) as home:
        assert home.log_in("ada").returncode == 0
        (plate,) = home.until(home.hand_over("ada", tmp_path / "source"), "done", "failed")["plates"]
        job = home.command("ada", "run", plate, pipeline, "--wait").value["job"]

        def taken(name: str) -> Any:
            return home.command("ada", "results", job, "--out", tmp_path / name, "--planes")

        assert taken("first").code == 0
        kept = DataLayout(home.mesh.data).omero_results / "finished"
        # As when the last results of others took the room of one well.
        (gone,) = kept.glob(f"plate_{plate}_*/{job}/A01")
        shutil.rmtree(gone)
        assert taken("again").code == 0
        assert gone.is_dir()
        first, again = files_of(tmp_path / "first"), files_of(tmp_path / "again")
        assert again.keys() == first.keys()
        assert {name.split("/")[1] for name in first if name.startswith("planes/")} == {"A01", "A02"}
        assert b"\nA01," in first["objects.csv"]
        for name, content in first.items():
            if name.endswith(".csv"):
                assert again[name] == content, name
            else:
                here, there = (tifffile.imread(tmp_path / folder / name) for folder in ("first", "again"))
                np.testing.assert_array_equal(here, there)

        shutil.rmtree(kept)
        assert home.log_in("grace").returncode == 0
        with BlockingClient.at(home.mesh.data, key=home.key("grace")) as grace:
            with pytest.raises(AskFailed, match=f"there is no job {job}"):
                grace.fetch_well(job, "A01")
            assert not list(kept.rglob("*.tiff"))
        with BlockingClient.at(home.mesh.data, key=home.key("ada")) as ada:
            assert ada.take_back_session()
            with pytest.raises(AskFailed, match="nobody may act for ada"):
                ada.fetch_well(job, "A01")
            with pytest.raises(AskFailed, match="no finished result for well B09"):
                ada.fetch_well(job, "B09")
