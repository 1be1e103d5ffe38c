"""OME-TIFF filesets, beside what tifffile and ome-types read from the same files."""

import io
import itertools
from pathlib import Path

import numpy as np
import ome_types
import pytest
import tifffile

from hcs_mesh.plates import MetadataError, Plate, plan, read_plane
from hcs_mesh.plates.planners.ome_xml import Ome, parse_ome, planes

OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{body}</OME>'
PIXELS = (
    '<Image ID="Image:{i}" Name="{name}"><Pixels ID="Pixels:{i}" DimensionOrder="{order}" Type="uint8" SizeX="4" '
    'SizeY="3" SizeC="{c}" SizeZ="{z}" SizeT="{t}">{channels}{data}</Pixels></Image>'
)


def image_xml(data: str, i: int = 0, name: str = "x", order: str = "XYCZT", c: int = 1, z: int = 1, t: int = 1) -> str:
    channels = "".join(f'<Channel ID="Channel:{i}:{k}" SamplesPerPixel="1"/>' for k in range(c))
    return PIXELS.format(i=i, name=name, order=order, c=c, z=z, t=t, channels=channels, data=data)


def only_plate(root: Path) -> Plate:
    (plate,) = plan(root).plates
    return plate


def values(root: Path, plate: Plate) -> dict[tuple[int, int, int], int]:
    return {(one.c, one.z, one.t): int(read_plane(root, one.file, one.page)[0, 0]) for one in plate.images()}


def test_a_companion_and_its_five_files_are_one_image(shared_data: Path) -> None:
    found = plan(shared_data / "ome-tiff-companion")
    multi, single = found.plates
    assert (multi.name, multi.kind, multi.n_images, multi.missing) == ("multifile", "image", 5, ())
    assert [(one.c, one.z, one.t, one.height, one.width, one.dtype) for one in multi.images()] == [
        (0, z, 0, 24, 18, "uint8") for z in range(5)
    ]
    assert [one.file for one in multi.images()] == [f"multifile-Z{z}.ome.tiff" for z in range(1, 6)]
    assert [len(fileset.files) for fileset in found.filesets] == [6, 1]
    assert (single.kind, single.dtypes, single.n_images, len(single.channels)) == ("image", ("int8",), 3, 3)
    whole = tifffile.imread(shared_data / "ome-tiff-companion" / "multi-channel.ome.tif")
    assert whole.shape == (3, 167, 439)
    for image in single.images():
        plane = read_plane(Path(found.root), image.file, image.page)
        assert plane.dtype == np.int8
        assert plane.dtype.isnative
        assert np.array_equal(plane, whole[image.c])


@pytest.mark.parametrize("file", ["multifile-Z3.ome.tiff", "multifile.companion.ome"])
def test_any_member_brings_the_whole_set(shared_data: Path, file: str) -> None:
    found = plan(shared_data / "ome-tiff-companion" / file)
    assert (found.n_files, found.plates[0].n_images) == (6, 5)


@pytest.mark.parametrize("axes", ["TZCYX", "CZTYX", "ZCTYX", "TCZYX", "CYX", "ZYX", "YX", "ZYXS", "YXS", "CTYX"])
def test_every_order_of_dimensions_agrees_with_tifffile(tmp_path: Path, axes: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 7, "S": 3}
    shape = tuple(sizes[axis] for axis in axes)
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    photometric = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": axes}, photometric=photometric)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.is_ome
    plate = only_plate(tmp_path / "a.ome.tif")
    others = [axis for axis in axes if axis not in "YX"]
    assert plate.n_images == int(np.prod([sizes[axis] for axis in others]))
    for image in plate.images():
        place = {"C": image.c, "S": image.c, "Z": image.z, "T": image.t}
        expected = np.moveaxis(data, [axes.index(axis) for axis in others], range(len(others)))
        expected = expected[tuple(place[axis] for axis in others)]
        assert np.array_equal(read_plane(tmp_path, image.file, image.page), expected)


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYTZC", "XYCTZ", "XYZTC", "XYTCZ"])
def test_planes_of_a_run_follow_the_dimension_order(tmp_path: Path, order: str) -> None:
    sizes = {"C": 2, "Z": 3, "T": 2}
    n_planes = 12
    pages = np.stack([np.full((3, 4), value, np.uint8) for value in range(n_planes)])
    xml = OME.format(body=image_xml("<TiffData/>", order=order, c=2, z=3, t=2))
    tifffile.imwrite(tmp_path / "a.ome.tif", pages, description=xml, metadata=None, photometric="minisblack")
    found = values(tmp_path, only_plate(tmp_path))
    axes = order[2:]
    for slow in itertools.product(*(range(sizes[axis]) for axis in reversed(axes))):
        place = dict(zip(reversed(axes), slow, strict=True))
        number = 0
        for axis in reversed(axes):
            number = number * sizes[axis] + place[axis]
        assert found[place["C"], place["Z"], place["T"]] == number


def test_absent_members_and_undescribed_planes_are_missing(tmp_path: Path) -> None:
    data = (
        '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>'
        '<TiffData FirstZ="2" IFD="9" PlaneCount="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="3" IFD="0" PlaneCount="1"><UUID FileName="../../a.tif">urn:uuid:1</UUID></TiffData>'
    )
    (tmp_path / "m.companion.ome").write_text(OME.format(body=image_xml(data, z=5)))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4), np.uint8))
    plate = only_plate(tmp_path)
    assert [(one.z, one.file) for one in plate.images()] == [(0, "a.tif")]
    assert [(one.z, one.file) for one in plate.missing] == [(1, "b.tif"), (2, "a.tif"), (3, "../../a.tif"), (4, "")]


def test_a_plate_in_ome_xml_is_a_plate(tmp_path: Path) -> None:
    wells = (
        '<Plate ID="Plate:0" Name="P" Rows="8" Columns="12">'
        '<Well ID="Well:0" Row="1" Column="2">'
        '<WellSample ID="WellSample:1" Index="1"><ImageRef ID="Image:1"/></WellSample>'
        '<WellSample ID="WellSample:0" Index="0"><ImageRef ID="Image:0"/></WellSample></Well>'
        '<Well ID="Well:1" Row="3" Column="4"/></Plate>'
    )
    body = wells + "".join(image_xml(f'<TiffData IFD="{i}" PlaneCount="1"/>', i=i, name=f"i{i}") for i in range(3))
    pages = np.stack([np.full((3, 4), value, np.uint8) for value in range(3)])
    tifffile.imwrite(
        tmp_path / "p.ome.tif", pages, description=OME.format(body=body), metadata=None, photometric="minisblack"
    )
    plate, alone = plan(tmp_path).plates
    assert (plate.name, plate.kind, plate.n_rows, plate.n_columns, plate.wells) == ("P", "plate", 8, 12, ("B03",))
    assert [(one.field, one.page) for one in plate.images()] == [(1, 0), (2, 1)]
    assert (alone.name, alone.kind, [one.page for one in alone.images()]) == ("i2", "image", [2])


SAMPLES = (
    "faim-companion/c3_z33.companion.ome",
    "faim-companion/20241003_experiment_488_7_640_3_1.companion.ome",
    "ome-types/MMStack.ome.xml",
    "ome-types/fake-plate-rows-2.ome.xml",
    "ome-types/hcs.ome.xml",
    "ome-types/multi-channel-z-series-time-series.ome.xml",
    "ome-types/one-screen-one-plate-four-wells.ome.xml",
    "ome-types/tubhiswt.ome.xml",
    "ome-types/two-screens-two-plates-four-wells.ome.xml",
)


def parsed(path: Path) -> Ome:
    with path.open("rb") as stream:
        return parse_ome(stream, source=path.name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sample", SAMPLES)
def test_real_ome_xml_reads_as_ome_types_reads_it(shared_data: Path, sample: str) -> None:
    path = shared_data / "ome-xml-samples" / sample
    ours, theirs = parsed(path), ome_types.from_xml(path, validate=False)
    assert [image.id for image in ours.images] == [image.id for image in theirs.images]
    for mine, other in zip(ours.images, theirs.images, strict=True):
        pixels = other.pixels
        assert (mine.width, mine.height, mine.n_c, mine.n_z, mine.n_t) == (
            pixels.size_x, pixels.size_y, pixels.size_c, pixels.size_z, pixels.size_t,
        )  # fmt: skip
        assert mine.order == pixels.dimension_order.value
        assert mine.name == (other.name or "")
        assert mine.pixel_size_um == pytest.approx(pixels.physical_size_x)
        named = [channel.name for channel in pixels.channels]
        assert [name for name in mine.channels if not name.startswith("c")] == [
            name for name in named if name and not name.startswith("c")
        ]
        assert len(mine.tiff_data) == len(pixels.tiff_data_blocks)
        for data, block in zip(mine.tiff_data, pixels.tiff_data_blocks, strict=True):
            assert (data.first_c, data.first_z, data.first_t) == (block.first_c, block.first_z, block.first_t)
            assert data.file == ((block.uuid.file_name or "") if block.uuid else "")
    assert [(plate.name, plate.n_rows, plate.n_columns) for plate in ours.plates] == [
        (plate.name or plate.id, plate.rows or 1 + max(w.row for w in plate.wells),
         plate.columns or 1 + max(w.column for w in plate.wells)) for plate in theirs.plates
    ]  # fmt: skip
    for mine_plate, other_plate in zip(ours.plates, theirs.plates, strict=True):
        assert {place: len(ids) for place, ids in mine_plate.wells.items()} == {
            (well.row, well.column): n
            for well in other_plate.wells
            if (n := sum(sample.image_ref is not None for sample in well.well_samples))
        }


def test_every_plane_of_a_real_set_is_placed_once(shared_data: Path) -> None:
    (image,) = parsed(shared_data / "ome-xml-samples/faim-companion/c3_z33.companion.ome").images
    placed = [place[1:] for data in image.tiff_data for place in planes(image, data, 33)]
    assert sorted(placed) == [(c, z, 0) for c in range(3) for z in range(33)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (image_xml("", z=0), "are not possible"),
        (image_xml("", z=10**9, t=10**9), "are not possible"),
        (image_xml("", order="XYZ"), "no order of dimensions"),
        (image_xml('<TiffData IFD="-1"/>'), "counts below 0"),
        (image_xml('<TiffData IFD="x"/>'), "cannot be used"),
    ],
)
def test_impossible_numbers_are_refused(body: str, reason: str) -> None:
    with pytest.raises(MetadataError, match=reason):
        parse_ome(io.BytesIO(OME.format(body=body).encode()), source="x.ome.tif")
