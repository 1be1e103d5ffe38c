"""Plans of real microscope folders, against what their SOURCE.md files say."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hcs_mesh.plates import Image, NothingToImport, Plan, Plate, UnreadableImage, plan, read_image, read_plane
from hcs_mesh.plates.folder import DiskFolder
from hcs_mesh.plates.planners.operetta import plan_operetta


def only_plate(found: Plan) -> Plate:
    (plate,) = found.plates
    return plate


def pixels(found: Plan, image: Image) -> np.ndarray:
    return read_plane(Path(found.root), image.file, image.page)


def stored(found: Plan) -> set[str]:
    return {file.path for fileset in found.filesets for file in fileset.files}


def test_imagexpress_database_layout(shared_data: Path) -> None:
    found = plan(shared_data / "imagexpress-projection-mix")
    plate = only_plate(found)
    assert (plate.name, plate.kind, plate.n_rows, plate.n_columns) == ("Projection-Mix", "plate", 8, 12)
    assert (plate.wells, plate.n_fields, plate.n_images) == (("E07", "E08"), 4, 96)
    assert plate.missing == ()
    assert plate.pixel_size_um == 1.3668
    assert plate.channels[0] == "w1 FITC_05"
    assert plate.dtypes == ("uint16",)
    for well in plate.wells:
        for field in (1, 2):
            images = list(plate.images(well=well, field=field))
            depth = {(c, kind): [] for c in range(4) for kind in ("plane", "projection")}
            for image in images:
                depth[image.c, image.kind].append(image.z)
                assert (image.height, image.width, image.t) == (512, 512, 0)
            assert depth == {
                (0, "plane"): list(range(10)),
                (0, "projection"): [0],
                (1, "plane"): list(range(10)),
                (1, "projection"): [0],
                (2, "plane"): [],
                (2, "projection"): [0],
                (3, "plane"): [0],
                (3, "projection"): [],
            }
    assert len(stored(found)) == 96
    assert not any("_thumb" in file for file in stored(found))
    assert not any("thumbnail" in note for note in plate.notes)
    assert sum("thumbnail" in one.reason for one in found.left_out) == 96


def test_metaxpress_exports_are_one_plate_each(shared_data: Path) -> None:
    found = plan(shared_data / "metaxpress-htd-9987")
    small, large = found.plates
    assert (small.name, small.wells, small.n_images, small.channels) == ("9987_Plate_3420", ("B02",), 1, ("DAPI",))
    assert (large.name, large.wells, large.channels) == ("9987_Plate_3433", ("B02", "B03"), ("DAPI", "FITC"))
    assert (large.n_rows, large.n_columns, large.n_fields, large.n_images) == (8, 12, 4, 32)
    kinds = Counter((image.kind, image.c) for image in large.images())
    assert kinds == {("plane", 0): 12, ("plane", 1): 12, ("projection", 0): 4, ("projection", 1): 4}
    assert small.missing == large.missing == ()
    assert sum(file.endswith(".HTD") for file in stored(found)) == 2 + 6
    assert found.n_files == 41


def test_metaxpress_projections_are_the_maximum_of_their_planes(shared_data: Path) -> None:
    found = plan(shared_data / "metaxpress-htd-9987" / "9987_Plate_3433", name="mine")
    plate = only_plate(found)
    assert plate.name == "mine"
    images = list(plate.images())
    projections = [image for image in images if image.kind == "projection"]
    for projection in projections:
        planes = [one for one in images if one.kind == "plane" and one[:3] == projection[:3]]
        assert [one.z for one in planes] == [0, 1, 2]
        stack = np.stack([pixels(found, one) for one in planes])
        assert np.array_equal(stack.max(axis=0), pixels(found, projection))
    assert len(projections) == 8


def test_a_declared_file_that_is_absent_is_missing_and_never_invented(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "metaxpress-htd-9987" / "9987_Plate_3433"
    for file in source.rglob("*"):
        if file.is_file() and file.name != "9987_B03_s2_w2.TIF":
            copy = tmp_path / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    plate = only_plate(plan(tmp_path))
    assert plate.n_images == 28
    assert [(one.well, one.field, one.c, one.z, one.t) for one in plate.missing] == [
        ("B03", 2, 1, 0, 0),
        ("B03", 2, 1, 0, 0),
        ("B03", 2, 1, 1, 0),
        ("B03", 2, 1, 2, 0),
    ]
    assert {one.file for one in plate.missing} == {f"TimePoint_1/ZStep_{z}/9987_B03_s2_w2.TIF" for z in range(4)}


def test_operetta(shared_data: Path) -> None:
    found = plan(shared_data / "operetta-ball")
    plate = only_plate(found)
    assert (plate.name, plate.n_rows, plate.n_columns) == ("Test_Sample_BALL", 16, 24)
    assert (plate.wells, plate.fields("C03"), plate.channels) == (("C03",), (1, 2), ("Fluorescein (FITC)",))
    assert plate.pixel_size_um == pytest.approx(1.19595, abs=1e-5)
    assert [(one.c, one.z, one.t, one.kind, one.height, one.width, one.dtype) for one in plate.images()] == [
        (0, 0, 0, "plane", 1080, 1080, "uint16")
    ] * 2
    assert [int(pixels(found, image).max()) for image in plate.images()] == [47088, 52368]
    assert stored(found) == {
        "operetta_plate/Assaylayout/Unnamed.xml",
        "operetta_plate/Images/Index.idx.xml",
        "operetta_plate/Images/r03c03f01p01-ch1sk1fk1fl1.tiff",
        "operetta_plate/Images/r03c03f02p01-ch1sk1fk1fl1.tiff",
    }


@pytest.mark.parametrize(("version", "n_images"), [("Version5", 6), ("Version7", 7)])
def test_a_phenix_index_without_its_images_names_every_one_as_missing(
    shared_data: Path, version: str, n_images: int
) -> None:
    folder = shared_data / "phenix-index-metadata-only" / version
    plate = only_plate(plan_operetta(DiskFolder(folder)))
    assert (plate.n_images, len(plate.missing)) == (0, n_images)
    expected = (folder / f"load_data_{version.lower()}.csv").read_text()
    for one in plate.missing:
        assert one.file.rpartition("/")[2] in expected
    assert len({(one.well, one.field, one.c, one.z, one.t) for one in plate.missing}) == n_images
    assert all(plate.channels)
    with pytest.raises(NothingToImport, match=f"declares {n_images} images and none of their files is there"):
        plan(folder)


def test_nf1_by_pattern(shared_data: Path) -> None:
    found = plan(shared_data / "nf1-cellpainting", pattern="{well}_01_{channel}_{field}_{_}_001.tif")
    plate = only_plate(found)
    assert (plate.channels, plate.n_images, plate.n_fields) == (("1", "2", "3"), 9, 3)
    assert {well: plate.fields(well) for well in plate.wells} == {"B07": (3,), "D06": (2,), "D07": (1,)}
    assert {(image.height, image.width, image.dtype) for image in plate.images()} == {(904, 1224, "uint16")}
    assert len(stored(found)) == 9


def test_sbs_by_pattern(shared_data: Path) -> None:
    plate = only_plate(plan(shared_data / "sbs-translocation", pattern="Channel{channel}-{_}-{row}-{column}.tif"))
    assert (plate.wells, plate.channels) == (("A01", "A12", "E01", "E12"), ("1", "2"))
    first = next(plate.images(well="E12"))
    assert (first.file, first.field, first.height, first.width, first.dtype) == (
        "Channel1-60-E-12.tif", 1, 640, 640, "uint8",
    )  # fmt: skip


def test_yokogawa_by_pattern_numbers_planes_from_zero(shared_data: Path) -> None:
    pattern = "{_}_{well}_T{t}F{field}L01A{_}Z{z}C{channel}.tif"
    plate = only_plate(plan(shared_data / "yokogawa-cv8000-minimal", pattern=pattern))
    assert (plate.wells, plate.n_fields, plate.n_images) == (("D08", "E03", "F08"), 12, 96)
    assert {(image.c, image.z, image.t) for image in plate.images()} == {(c, z, 0) for c in (0, 1) for z in range(4)}


@pytest.mark.parametrize(
    ("file", "shape", "dtype"),
    [
        ("other-vendor-tiff/5channel.tif", (5, 1, 64, 64), "uint8"),
        ("other-vendor-tiff/MetamorphImage.tif", (1, 1, 520, 696), "uint16"),
        ("stardist-nuclei/img2d.tif", (1, 1, 512, 512), "uint16"),
        ("stardist-nuclei/img3d.tif", (1, 31, 61, 57), "uint16"),
    ],
)
def test_a_single_tiff_is_an_image_without_a_plate(
    shared_data: Path, file: str, shape: tuple[int, ...], dtype: str
) -> None:
    import tifffile

    found = plan(shared_data / file)
    image = only_plate(found)
    planes = {(one.c, one.z): pixels(found, one) for one in image.images()}
    assert (image.kind, image.wells, image.dtypes) == ("image", ("",), (dtype,))
    assert len(image.channels) == shape[0]
    assert len(planes) == shape[0] * shape[1]
    whole = np.stack([planes[c, z] for c in range(shape[0]) for z in range(shape[1])])
    assert np.array_equal(whole, tifffile.imread(shared_data / file).reshape(whole.shape))


def test_plain_tiffs_in_a_folder_ask_for_a_pattern(shared_data: Path) -> None:
    for folder in ("other-vendor-tiff", "tiff-corpus/images", "nf1-cellpainting"):
        with pytest.raises(NothingToImport, match="TIFF files of no known layout, for example") as caught:
            plan(shared_data / folder)
        assert "--pattern" in caught.value.hint


def test_a_plan_leaves_the_source_as_it_was(shared_data: Path) -> None:
    def state(folder: Path) -> dict[str, tuple[int, str]]:
        return {
            str(file): (file.stat().st_mtime_ns, hashlib.sha1(file.read_bytes()).hexdigest())
            for file in folder.rglob("*")
            if file.is_file()
        }

    folder = shared_data / "metaxpress-htd-9987"
    before = state(folder)
    plan(folder)
    assert state(folder) == before


def test_a_plate_reads_its_images_and_notices_a_changed_file(shared_data: Path) -> None:
    import msgspec

    found = plan(shared_data / "operetta-ball")
    plate = msgspec.structs.replace(only_plate(found), root=found.root)
    image = next(plate.images())
    out = np.zeros((1080, 1080), np.uint16)
    assert read_image(plate, image, out=out) is out
    assert int(out.max()) == 47088
    with pytest.raises(UnreadableImage, match="its plate says 1081 x 1080"):
        read_image(plate, image._replace(width=1081))
