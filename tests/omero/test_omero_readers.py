"""What the stand-in makes of files: planes where the files say that they lie, and no guesses."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from omero_filesets import OME, metaxpress_plate, ome_tiff_plate, planes

from omero_server.importing import read
from omero_server.ome_tiff import _rank, _unrank
from omero_server.plane_files import ImportedPlanes, NoPlane, Place, PlaneMap, RawPlanes, Shape
from omero_server.read_fileset import Unreadable

Z, C, T = 2, 3, 2
ORDERS = ["".join(("XY", *order)) for order in itertools.permutations("ZCT")]


def page_of(order: str, z: int, c: int, t: int) -> int:
    """Which page a plane is on where pages follow the order of dimensions."""
    page, each = 0, 1
    for axis in order[2:]:
        page += {"Z": z, "C": c, "T": t}[axis] * each
        each *= {"Z": Z, "C": C, "T": T}[axis]
    return page


def written(folder: Path, order: str, tiff_data: str) -> Path:
    """An OME-TIFF whose planes hold nothing but the number of their page."""
    path = folder / "numbered.ome.tiff"
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}"><Image ID="Image:0" Name="numbered">'
        f'<Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint8" SizeX="4" SizeY="3" SizeZ="{Z}" SizeC="{C}" '
        f'SizeT="{T}">{tiff_data}</Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(path) as writer:
        for page in range(Z * C * T):
            text = xml.encode() if page == 0 else None
            writer.write(np.full((3, 4), page, "u1"), description=text, metadata=None)
    return path


def every_plane(order: str) -> str:
    return "".join(
        f'<TiffData IFD="{page_of(order, z, c, t)}" FirstZ="{z}" FirstC="{c}" FirstT="{t}" PlaneCount="1"/>'
        for z, c, t in itertools.product(range(Z), range(C), range(T))
    )


def two_blocks(order: str) -> str:
    half = Z * C * T // 2
    first = _unrank(half, {"Z": Z, "C": C, "T": T}, order)
    starts = "".join(f' First{axis}="{at}"' for axis, at in first.items())
    return f'<TiffData IFD="0" PlaneCount="{half}"/><TiffData IFD="{half}"{starts} PlaneCount="{half}"/>'


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tiff_data", [lambda order: "<TiffData/>", every_plane, two_blocks])
def test_every_plane_is_found_whatever_the_order_and_however_it_is_said(
    tmp_path: Path, order: str, tiff_data: object
) -> None:
    assert callable(tiff_data)
    path = written(tmp_path, order, tiff_data(order))
    [image] = read([path]).images
    shape = Shape(T, C, Z, 3, 4, ">u1")
    found = ImportedPlanes(tmp_path, PlaneMap([path.name], image.places), shape)
    for z, c, t in itertools.product(range(Z), range(C), range(T)):
        assert found.plane(z, c, t)[0, 0] == page_of(order, z, c, t)
    found.close()


@given(st.sampled_from(ORDERS), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.data())
def test_counting_planes_there_and_back_is_where_one_began(
    order: str, z: int, c: int, t: int, data: st.DataObject
) -> None:
    sizes = {"Z": z, "C": c, "T": t}
    rank = data.draw(st.integers(0, z * c * t - 1))
    assert _rank(_unrank(rank, sizes, order), sizes, order) == rank


def test_a_plane_that_no_file_was_named_for_is_missing_and_not_zero(tmp_path: Path) -> None:
    path = written(tmp_path, "XYZCT", '<TiffData IFD="0" PlaneCount="1"/>')
    [image] = read([path]).images
    assert image.places[:2] == [Place(0, 0), None]
    found = ImportedPlanes(tmp_path, PlaneMap([path.name], image.places), Shape(T, C, Z, 3, 4, ">u1"))
    with pytest.raises(NoPlane):
        found.plane(1, 0, 0)


def test_a_file_that_the_xml_names_and_nobody_sent_is_an_error(tmp_path: Path) -> None:
    files = ome_tiff_plate(tmp_path, planes(2, 1, 8, 9))
    with pytest.raises(Unreadable, match=r"well1\.ome\.tiff"):
        read(files[:1])


def test_a_companion_speaks_for_the_files_beside_it(tmp_path: Path) -> None:
    files = ome_tiff_plate(tmp_path, planes(2, 1, 8, 9))
    with tifffile.TiffFile(files[0]) as first:
        xml = first.ome_metadata
    assert xml is not None
    companion = tmp_path / "plate.companion.ome"
    companion.write_text(xml, encoding="utf-8")
    only = (
        f'<?xml version="1.0"?><OME xmlns="{OME}"><BinaryOnly MetadataFile="{companion.name}" UUID="urn:uuid:0"/></OME>'
    )
    tifffile.tiffcomment(files[0], only.encode())
    found = read([*files, companion])
    assert [len(well.samples) for well in found.plates[0].wells] == [1, 1]
    assert found.images[1].places == [Place(1, 0)]
    with pytest.raises(Unreadable, match="companion"):
        read(files)


def test_files_of_one_name_are_told_apart_by_the_folders_that_a_companion_says(tmp_path: Path) -> None:
    files = [tmp_path / f"z{z}" / "same.tif" for z in range(Z)]
    for file in files:
        file.parent.mkdir()
        tifffile.imwrite(file, planes(3, 4))
    said = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="z{z}/same.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(Z)
    )
    companion = tmp_path / "two.companion.ome"
    companion.write_text(
        f'<OME xmlns="{OME}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="4" '
        f'SizeY="3" SizeZ="{Z}" SizeC="1" SizeT="1">{said}</Pixels></Image></OME>',
        encoding="utf-8",
    )
    assert read([companion, *reversed(files)]).images[0].places == [Place(2, 0), Place(1, 0)]


def test_a_metaxpress_plate_tells_its_wells_and_misses_what_is_missing(tmp_path: Path) -> None:
    files = metaxpress_plate(tmp_path, planes(2, 2, 8, 9))
    [plate] = (found := read([one for one in files if "s2_w1" not in one.name])).plates
    assert [(well.row, well.column, len(well.samples)) for well in plate.wells] == [(1, 1, 2)]
    assert [channel.name for channel in found.images[0].channels] == ["DAPI", "FITC"]
    assert [place is None for place in found.images[1].places] == [True, False]


@pytest.mark.parametrize(("name", "content"), [("a.tif", b"not a TIFF"), ("a.czi", b"ZISRAWFILE"), ("a.txt", b"")])
def test_what_nobody_knows_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable):
        read([tmp_path / name])


def test_of_several_plain_tiffs_the_first_is_the_image(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.tif" for n in range(3)]
    for file in files:
        tifffile.imwrite(file, planes(8, 9))
    assert [image.name for image in read(files).images] == ["0.tif"]


def test_pages_of_a_plain_tiff_are_time_points(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", planes(3, 8, 9), metadata=None, photometric="minisblack")
    [image] = read([tmp_path / "a.tif"]).images
    assert image.sizes == {"X": 9, "Y": 8, "Z": 1, "C": 1, "T": 3}


@given(st.permutations(range(6)))
def test_raw_planes_are_where_they_were_written_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    shape = Shape(t=1, c=3, z=2, y=2, x=2, dtype=">u2")
    raw = RawPlanes(tmp_path_factory.mktemp("raw") / "1", shape)
    for number in order:
        raw.write(np.full((2, 2), number, ">u2").tobytes(), number % 2, number // 2, 0)
    assert [int(raw.plane(n % 2, n // 2, 0)[0, 0]) for n in range(6)] == list(range(6))
