"""A recording holds whole files and a whole index, whenever the recorder was killed."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hcs_mesh.messages.planes import PROJECTION, PlaneAddress, PlaneHeader
from hcs_mesh.viewers.errors import OutputUnusable
from hcs_mesh.viewers.recording import INDEX, Recording, recorded_name


def header(well: str = "B03", *, step: str = "", z: int = 0, t: int = 0) -> PlaneHeader:
    return PlaneHeader(
        address=PlaneAddress(well=well, field=2, channel="DNA", z=z, t=t, step=step),
        kind="labels" if step == "nuclei" else "image",
        height=3,
        width=4,
        dtype="uint16",
        c=1,
        pixel_size_um=0.65,
    )


PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def index_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / INDEX).read_text().splitlines()]


@pytest.mark.parametrize(
    ("plane", "name"),
    [
        (header(), "plate_7/B03/B03_s002_z000_c001.tif"),
        (header(z=2, t=5), "plate_7/B03/B03_s002_z002_c001_t005.tif"),
        (header(step=PROJECTION), "plate_7/B03/B03_s002_zproj_c001.tif"),
        (header(""), "image_7/s002_z000_c001.tif"),
        (header(step="nuclei"), "results/job-1/nuclei/plate_7/B03/B03_s002_z000_c001.tif"),
        (header(step="../x"), "results/job-1/_x/plate_7/B03/B03_s002_z000_c001.tif"),
    ],
)
def test_planes_lie_under_their_virtual_paths_and_results_below_their_job(plane: PlaneHeader, name: str) -> None:
    assert recorded_name(7, "job-1", plane) == name


def test_a_recorded_plane_is_an_image_that_others_open(tmp_path: Path) -> None:
    path = Recording(tmp_path).plane(7, "job-1", header(step="nuclei"), PIXELS)
    assert np.array_equal(tifffile.imread(path), PIXELS)
    (entry,) = index_of(tmp_path)
    assert entry["path"] == path.relative_to(tmp_path).as_posix()
    assert (entry["kind"], entry["well"], entry["shape"]) == ("labels", "B03", [3, 4])


def test_the_same_pixels_again_add_nothing_and_other_pixels_replace_the_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.plane(7, "", header(), PIXELS)
    recording.plane(7, "", header(), PIXELS)
    assert len(index_of(tmp_path)) == 1
    path = recording.plane(7, "", header(), PIXELS + 1)
    assert np.array_equal(tifffile.imread(path), PIXELS + 1)
    assert len(index_of(tmp_path)) == 2


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_an_index_cut_anywhere_is_continued_after_its_last_whole_line(tmp_path: Path, cut: int) -> None:
    first = Recording(tmp_path)
    first.plane(7, "", header("A01"), PIXELS)
    first.plane(7, "", header("A02"), PIXELS)
    first.close()
    index = tmp_path / INDEX
    index.write_bytes(index.read_bytes()[:-cut])
    again = Recording(tmp_path)
    again.plane(7, "", header("A01"), PIXELS)
    again.plane(7, "", header("A02"), PIXELS)
    assert [entry["well"] for entry in index_of(tmp_path)] == ["A01", "A02"]


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputUnusable) as caught:
        Recording(tmp_path / "file" / "out")
    assert caught.value.hint
