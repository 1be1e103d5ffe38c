"""TIFF files whose metadata speak of other files: none of those is opened for them."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hcs_mesh.plates import SourceUnreadable, UnreadableImage, plan, read_plane
from hcs_mesh.plates.folder import DiskFolder

OWN = np.full((8, 8), 7, np.uint16)
THEIRS = np.full((8, 8), 4711, np.uint16)
OWN_UUID, THEIR_UUID = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))


def metadata_naming(own: str, other: Path) -> str:
    """OME-XML of two planes, of which the second lies in another file."""
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for z, (name, uuid) in enumerate([(own, OWN_UUID), (other, THEIR_UUID)])
    )
    return (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{OWN_UUID}"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="8" SizeY="8" SizeZ="2" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    xml = metadata_naming("s.ome.tif", folder / "none.ome.tif").replace(OWN_UUID, THEIR_UUID)
    tifffile.imwrite(folder / "s.ome.tif", THEIRS, description=xml, metadata=None)
    return folder / "s.ome.tif"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["x.img", "x.lsm", "x"])
@pytest.mark.parametrize("is_there", [True, False])
def test_an_image_of_no_tiff_ending_is_its_own_pages_whatever_they_name(
    source: Path, theirs: Path, name: str, is_there: bool
) -> None:
    tifffile.imwrite(source / name, OWN, description=metadata_naming(name, theirs), metadata=None)
    if not is_there:
        theirs.unlink()
    (plate,) = plan(source / name).plates
    assert (plate.n_images, plate.missing) == (1, ())
    assert [(image.file, image.page) for image in plate.images()] == [(name, 0)]
    assert any("its OME-XML is not used" in note for note in plate.notes)
    np.testing.assert_array_equal(read_plane(source, name), OWN)
    with pytest.raises(UnreadableImage, match="and plane 1 was asked for"):
        read_plane(source, name, 1)


def test_no_header_counts_the_planes_of_another_file(source: Path, theirs: Path) -> None:
    """A file that claims to be ImageJ's as well, whose planes may lie behind one page."""
    tifffile.imwrite(
        source / "x.ome.tif",
        OWN,
        description=metadata_naming("x.ome.tif", theirs),
        metadata=None,
        extratags=[("Make", "s", 0, "ImageJ=1.11a\nimages=1\n", True)],
    )
    with tifffile.TiffFile(source / "x.ome.tif") as tif:
        second = tif.pages.first.tags["Make"].offset
    with (source / "x.ome.tif").open("r+b") as file:
        file.seek(second)
        file.write((270).to_bytes(2, "little"))
    with tifffile.TiffFile(source / "x.ome.tif") as tif:
        assert tif.is_imagej
        assert tif.is_ome
        assert tif.series[0].shape == (2, 8, 8), "what tifffile makes of it when it is asked by a path"
    head = DiskFolder(source).tiff("x.ome.tif")
    assert (head.n_pages, head.ome_xml[:5]) == (1, "<OME ")


def test_pages_of_an_ome_tiff_of_another_name_are_all_there(source: Path) -> None:
    pixels = np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8)
    tifffile.imwrite(source / "a.ome.tif", pixels, metadata={"axes": "ZYX"})
    (source / "a.ome.tif").rename(source / "a.img")
    (plate,) = plan(source / "a.img").plates
    np.testing.assert_array_equal([read_plane(source, image.file, image.page) for image in plate.images()], pixels)


def test_stacks_behind_a_page_each_are_no_pages_of_each_other(source: Path) -> None:
    """The second page of the file is the second stack, and not the second plane of the first."""
    stack = np.stack([OWN, THEIRS])
    with tifffile.TiffWriter(source / "a.tif") as file:
        for _ in range(2):
            file.write(stack, truncate=True, photometric="minisblack", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(source / "a.tif") as tif:
        assert (len(tif.pages), [one.shape for one in tif.series]) == (2, [(2, 8, 8), (2, 8, 8)])
    with pytest.raises(UnreadableImage, match="not every plane of its first series is a page of this file"):
        plan(source / "a.tif")


def test_a_page_below_another_is_not_counted_among_the_planes(source: Path) -> None:
    """It has no number of its own: the first page would be read for it."""
    with tifffile.TiffWriter(source / "a.img") as file:
        file.write(OWN, subifds=1, metadata=None)
        file.write(THEIRS, subfiletype=1, metadata=None)
    with tifffile.TiffFile(source / "a.img") as tif:
        assert [page.is_subifd for page in tif.series[0].pages] == [False, True]
    with pytest.raises(UnreadableImage, match="not every plane of its first series is a page of this file"):
        plan(source / "a.img")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(source: Path) -> None:
    for name in ("a.tif", "b.img"):
        tifffile.imwrite(source / name, OWN)
    folder = DiskFolder(source)
    for name in folder.files:
        (source / name).unlink()
        os.mkfifo(source / name)
        with pytest.raises(SourceUnreadable, match=f"{name} cannot be read: it is .*no file"):
            folder.stream(name)
        for look in (folder.tiff, folder.series):
            with pytest.raises(UnreadableImage, match=f"{name} cannot be read as an image: it is .*no file"):
                look(name)
