"""Which file of a fileset holds a plane, and where in it: derived where it can be, refused where it cannot."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from omero_plates import Planes, some_planes

from hcs_mesh.plates.omero.managed_files import FilesetOnDisk, NotDerivable, chosen_file, files_of, plane_index
from hcs_mesh.plates.omero.pixels import witnesses
from hcs_mesh.plates.omero.structure import Place


def place(n_c: int = 2, n_z: int = 3, n_t: int = 4) -> Place:
    return Place(1, 0, 1, 0, n_c, n_z, n_t, 8, 8, "uint16")


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (("u/a.tif",), "u/a.tif"),
        (("u/a.OME.TIFF",), "u/a.OME.TIFF"),
        (("u/notes.txt", "u/a.ome.tif", "u/b.ome.tif"), "u/a.ome.tif"),
    ],
)
def test_a_tiff_alone_or_an_ome_tiff_among_others_is_read(files: tuple[str, ...], chosen: str) -> None:
    assert chosen_file(files) == chosen


@pytest.mark.parametrize("files", [(), ("u/a.czi",), ("u/a.tif", "u/b.tif"), ("u/x.companion.ome", "u/b.tif")])
def test_a_layout_that_only_its_reader_knows_is_left_to_the_server(files: tuple[str, ...]) -> None:
    with pytest.raises(NotDerivable):
        chosen_file(files)


@pytest.mark.parametrize(
    ("axes", "shape", "index"),
    [
        ("TZCYX", (4, 3, 2, 8, 8), (3 * 3 + 2) * 2 + 1),
        ("CZTYX", (2, 3, 4, 8, 8), (1 * 3 + 2) * 4 + 3),
        ("QYX", (24, 8, 8), 1 + 2 * (2 + 3 * 3)),
    ],
)
def test_a_plane_is_found_by_the_axes_of_its_series(axes: str, shape: tuple[int, ...], index: int) -> None:
    assert plane_index(axes, shape, place(), c=1, z=2, t=3) == index


def test_an_axis_of_one_may_be_left_out() -> None:
    assert plane_index("CYX", (2, 8, 8), place(2, 1, 1), c=1, z=0, t=0) == 1
    assert plane_index("YX", (8, 8), place(1, 1, 1), c=0, z=0, t=0) == 0


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("TCYX", (4, 2, 8, 8)), ("CZTYXS", (2, 3, 4, 8, 8, 3)), ("QYX", (23, 8, 8)), ("TZCYX", (4, 3, 3, 8, 8))],
)
def test_axes_that_do_not_fit_what_omero_says_are_refused(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(NotDerivable):
        plane_index(axes, shape, place(), c=0, z=0, t=0)


def test_a_path_that_leads_out_of_the_repository_is_left_out() -> None:
    rows = [[1, "user_2/2026/", "a.tif"], [1, "../../etc/", "passwd"], [2, "/etc/", "passwd"]]
    assert files_of(rows) == {1: ("user_2/2026/a.tif",), 2: ()}


def test_the_planes_compared_tell_every_order_of_the_axes_from_every_other() -> None:
    found = place()
    orders = ["TZCYX", "TCZYX", "ZTCYX", "ZCTYX", "CTZYX", "CZTYX"]
    sizes = {"T": 4, "Z": 3, "C": 2}
    seen = {
        tuple(
            plane_index(order, (*(sizes[axis] for axis in order[:3]), 8, 8), found, c=c, z=z, t=t)
            for c, z, t in witnesses(found)
        )
        for order in orders
    }
    assert len(seen) == len(orders)


TWO_FILES = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}{own}">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="8" SizeC="2" SizeZ="1"
 SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" SamplesPerPixel="1"/>
<TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="a.ome.tif">{uuid}a</UUID></TiffData>
<TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="b.ome.tif">{uuid}b</UUID></TiffData>
</Pixels></Image></OME>"""
UUID = "urn:uuid:00000000-0000-0000-0000-00000000000"


def two_files(folder: Path) -> Planes:
    """An image of two channels, each in a file of its own that names the other."""
    planes = some_planes(2, 8, 8)
    for plane, name in zip(planes, "ab", strict=True):
        tifffile.imwrite(
            folder / f"{name}.ome.tif", plane, description=TWO_FILES.format(uuid=UUID, own=name), metadata=None
        )
    return planes


def test_an_image_in_several_files_is_read_from_those_of_its_fileset(tmp_path: Path) -> None:
    planes = two_files(tmp_path)
    fileset = FilesetOnDisk(tmp_path, ["a.ome.tif", "b.ome.tif"])
    for c in range(2):
        np.testing.assert_array_equal(fileset.read(place(2, 1, 1), c=c, z=0, t=0), planes[c])  # type: ignore[arg-type]
    fileset.close()


def test_a_file_that_is_not_of_the_fileset_is_not_read_whatever_the_metadata_say(tmp_path: Path) -> None:
    two_files(tmp_path)
    fileset = FilesetOnDisk(tmp_path, ["a.ome.tif"])
    assert fileset.read(place(2, 1, 1), c=0, z=0, t=0) is not None
    with pytest.raises(NotDerivable, match="not of its fileset"):
        fileset.read(place(2, 1, 1), c=1, z=0, t=0)
    fileset.close()
