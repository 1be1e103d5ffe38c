"""OME-Zarr plates and images, of both formats: what is planned, what is refused, and what is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates import MetadataError, NothingToImport, Plate, UnreadableImage, plan, read_image, read_plane
from hcs_mesh.plates.errors import NotYetComplete
from hcs_mesh.plates.folder import DiskFolder
from hcs_mesh.plates.local import FolderReader, LocalRepository
from hcs_mesh.plates.planners import Fileset
from hcs_mesh.plates.planners.ome_zarr import plan_ome_zarr
from hcs_mesh.plates.planners.zarr_metadata import Multiscale, parse_array
from hcs_mesh.plates.repository import SourceFile, StoredFileset

KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def write_group(folder: Path, ome: dict[str, Any], zarr_format: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if zarr_format == 2:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(ome))
    else:
        attributes = {"ome": {"version": "0.5", **ome}} if ome else {}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (folder / "zarr.json").write_text(json.dumps(group))


def write_image(
    folder: Path,
    pixels: np.ndarray,
    axes: str,
    zarr_format: int,
    *,
    chunks: tuple[int, ...] | None = None,
    labels: tuple[str, ...] = (),
    **options: Any,
) -> None:
    multiscale = {
        "axes": [
            {"name": axis, "type": KINDS[axis], **({"unit": "micrometer"} if axis in "yx" else {})} for axis in axes
        ],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.325] * len(axes)}]},
            {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [0.65] * len(axes)}]},
        ],
    }
    omero = {"omero": {"channels": [{"label": label} for label in labels]}} if labels else {}
    write_group(folder, {"multiscales": [multiscale], **omero}, zarr_format)
    for path, level in (("0", pixels), ("1", pixels[..., ::2, ::2])):
        array = zarr.create_array(
            folder / path,
            shape=level.shape,
            dtype=level.dtype,
            chunks=chunks if chunks is not None and path == "0" else level.shape,
            zarr_format=zarr_format,
            chunk_key_encoding={"name": "v2", "separator": "/"} if zarr_format == 2 else None,
            **(options if path == "0" else {}),
        )
        array[...] = level


def write_plate(folder: Path, zarr_format: int, make: Callable[[str, int], np.ndarray]) -> None:
    """Wells B/2 and B/11 with two fields (T, C, Z, Y, X) each, and labels beside the first."""
    wells = ["B/2", "B/11"]
    plate = {
        "name": "assay",
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": str(column)} for column in range(1, 13)],
        "wells": [{"path": well, "rowIndex": 1, "columnIndex": int(well[2:]) - 1} for well in wells],
    }
    write_group(folder, {"plate": plate}, zarr_format)
    write_group(folder / "B", {}, zarr_format)
    for well in wells:
        write_group(folder / well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, zarr_format)
        for field in range(2):
            write_image(
                folder / well / str(field),
                make(well, field),
                "tczyx",
                zarr_format,
                chunks=(1, 1, 2, 6, 8),
                labels=("DAPI", "GFP"),
            )
    write_group(folder / "B/2/0/labels", {"labels": ["nuclei"]}, zarr_format)
    write_image(folder / "B/2/0/labels/nuclei", np.ones((12, 16), np.uint16), "yx", zarr_format)


def pixels_of(well: str, field: int) -> np.ndarray:
    rng = np.random.default_rng([len(well), field])
    return rng.integers(1, 60_000, (2, 2, 3, 12, 16), dtype=np.uint16)


def only(fileset_of: Path) -> tuple[Fileset, Plate]:
    (fileset,) = plan(fileset_of).filesets
    (plate,) = fileset.plates
    return fileset, plate


@FORMATS
def test_a_plate_is_read_plane_by_plane_as_it_was_written(tmp_path: Path, zarr_format: int) -> None:
    folder = tmp_path / "assay.ome.zarr"
    write_plate(folder, zarr_format, pixels_of)
    fileset, plate = only(tmp_path)
    assert (fileset.planner, fileset.root) == ("ome-zarr", "assay.ome.zarr")
    assert (plate.name, plate.kind, plate.wells, plate.n_fields) == ("assay", "plate", ("B02", "B11"), 4)
    assert (plate.n_rows, plate.n_columns, plate.channels) == (2, 12, ("DAPI", "GFP"))
    assert (plate.pixel_size_um, plate.dtypes, plate.missing, plate.notes) == (0.325, ("uint16",), (), ())
    assert plate.n_images == 4 * 2 * 2 * 3
    for image in plate.images():
        written = pixels_of({"B02": "B/2", "B11": "B/11"}[image.well], image.field - 1)
        plane = read_plane(tmp_path, image.file, image.page)
        np.testing.assert_array_equal(plane, written[image.t, image.c, image.z])


@FORMATS
def test_every_file_belongs_to_the_fileset_hidden_ones_and_labels_too(tmp_path: Path, zarr_format: int) -> None:
    folder = tmp_path / "assay.zarr"
    write_plate(folder, zarr_format, pixels_of)
    (folder / "notes.tif").write_bytes(b"no matter what")
    (tmp_path / "other.txt").write_text("beside it")
    found = plan(tmp_path)
    there = {path.relative_to(tmp_path).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {file.path for file in found.filesets[0].files} == there
    assert [one.path for one in found.left_out] == ["other.txt"]
    assert not any("labels" in file for file in found.plates[0].files)
    assert only(folder)[0].root == ""


@FORMATS
@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "czyx", "tcyx", "tzyx", "tczyx", "xy", "cxyz"])
def test_axes_mean_what_they_say_in_whichever_order(tmp_path: Path, zarr_format: int, axes: str) -> None:
    sizes = {"t": 2, "c": 3, "z": 4, "y": 6, "x": 10}
    pixels = np.arange(np.prod([sizes[axis] for axis in axes]), dtype=np.uint16)
    pixels = pixels.reshape([sizes[axis] for axis in axes])
    write_image(tmp_path / "one.zarr", pixels, axes, zarr_format)
    plate = only(tmp_path / "one.zarr")[1]
    assert (plate.kind, plate.name, plate.wells) == ("image", "one", ("",))
    n_channels = sizes["c"] if "c" in axes else 1
    assert plate.channels == tuple(f"c{c}" for c in range(n_channels))
    assert plate.n_images == pixels.size // 60
    for image in plate.images():
        place = {"t": image.t, "c": image.c, "z": image.z}
        written = pixels[tuple(slice(None) if axis in "yx" else place[axis] for axis in axes)]
        if axes.index("x") < axes.index("y"):
            written = written.T
        plane = read_plane(tmp_path / "one.zarr", image.file, image.page)
        assert plane.flags.c_contiguous
        np.testing.assert_array_equal(plane, written)


@given(st.tuples(*[st.integers(1, 7)] * 3), st.permutations("tcz"))
def test_the_number_of_a_plane_and_its_place_say_the_same(sizes: tuple[int, int, int], order: list[str]) -> None:
    scale = Multiscale("", "".join(order) + "yx", ("0",), None)
    shape = (*(dict(zip("tcz", sizes, strict=True))[axis] for axis in order), 5, 5)
    n_t, n_c, n_z = sizes
    pages = [scale.page(shape, t, c, z) for t in range(n_t) for c in range(n_c) for z in range(n_z)]
    assert pages == list(range(n_t * n_c * n_z))
    assert [tuple(scale.place(shape, page).values()) for page in pages] == [
        (t, c, z) for t in range(n_t) for c in range(n_c) for z in range(n_z)
    ]


VALID = {"image-01": (0, 1), "image-02": (1, 0), "image-03": (2, 0), "image-04": (0, 2), "plate-01": (0, 4)}


@pytest.mark.parametrize("name", VALID)
def test_what_the_validator_accepts_is_accepted(shared_data: Path, name: str) -> None:
    folder = shared_data / "ngff-validator-examples" / "valid" / f"{name}.zarr"
    (fileset,) = plan_ome_zarr(DiskFolder(folder)).filesets
    (plate,) = fileset.plates
    assert (plate.n_images, len(plate.missing)) == VALID[name]
    assert len(fileset.files) == sum(path.is_file() for path in folder.rglob("*"))
    if name == "plate-01":
        assert plate.declared_wells == ("A01", "A02", "B01", "B02")
        assert "2 wells have other indexes than their paths" in plate.notes[0]


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("image-01", NothingToImport, "no image of a known layout"),
        ("image-02", MetadataError, "multiscales is empty"),
        ("image-03", MetadataError, "names the array 0, and there is none"),
        ("image-04", MetadataError, "the array 1 has 2 dimensions and the image 3 axes"),
    ],
)
def test_what_the_validator_refuses_is_refused(
    shared_data: Path, name: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        plan(shared_data / "ngff-validator-examples" / "invalid" / f"{name}.zarr")


def test_levels_of_different_types_are_noted(shared_data: Path) -> None:
    found = plan_ome_zarr(DiskFolder(shared_data / "ngff-validator-examples" / "warning" / "image-01.zarr"))
    assert "levels of different types (int64, float64)" in found.plates[0].notes[0]


def test_a_real_image_with_tables_is_read(shared_data: Path) -> None:
    folder = shared_data / "ngff-real-image"
    fileset, plate = only(folder)
    assert (fileset.root, len(fileset.files)) == ("ngff_example/my_image", 64)
    assert (plate.kind, plate.channels, plate.pixel_size_um, plate.n_images) == ("image", ("DAPI",), 0.65, 2)
    planes = [read_plane(folder, image.file, image.page) for image in plate.images()]
    assert [(plane.shape, plane.dtype.name) for plane in planes] == [((540, 1280), "uint16")] * 2
    assert (min(int(plane.min()) for plane in planes), max(int(plane.max()) for plane in planes)) == (96, 909)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A (Z, Y, X) image of 3 planes in 4 chunks each."""
    folder = tmp_path / "one.zarr"
    pixels = np.arange(1, 3 * 12 * 16 + 1, dtype=np.uint16).reshape(3, 12, 16)
    write_image(folder, pixels, "zyx", 2, chunks=(1, 6, 8), fill_value=0)
    return folder


def test_a_plane_without_any_chunk_is_missing_and_is_not_read(image: Path) -> None:
    shutil.rmtree(image / "0" / "1")
    plate = only(image)[1]
    assert [one.z for one in plate.images()] == [0, 2]
    assert [(one.z, one.file) for one in plate.missing] == [(1, "0/.zarray")]
    with pytest.raises(UnreadableImage, match="every chunk of plane 1 is missing, the first 1/0/0"):
        read_plane(image, "0/.zarray", 1)


def test_a_plane_with_some_chunks_absent_holds_the_declared_fill_value_there(image: Path) -> None:
    (image / "0/1/1/0").unlink()
    plate = only(image)[1]
    assert plate.n_images == 3
    assert plate.notes == ("1 planes hold the fill value where they have no chunk; the first: of 0",)
    plane = read_plane(image, "0/.zarray", 1)
    assert not plane[6:, :8].any()
    assert plane[:6].all()
    assert plane[6:, 8:].all()


def test_an_absent_chunk_of_an_array_without_fill_value_is_an_absent_plane(image: Path) -> None:
    metadata = json.loads((image / "0/.zarray").read_text())
    (image / "0/.zarray").write_text(json.dumps({**metadata, "fill_value": None}))
    (image / "0/1/1/0").unlink()
    assert [one.z for one in only(image)[1].missing] == [1]
    with pytest.raises(UnreadableImage, match="a chunk of plane 1 is missing, the first 1/1/0"):
        read_plane(image, "0/.zarray", 1)


def test_what_is_declared_and_not_there_yet_is_a_reason_to_wait(image: Path) -> None:
    assert plan(image).pending == ()
    shutil.rmtree(image / "0" / "1")
    assert plan(image).pending == ("one.zarr declares 3 planes and 2 are there",)
    shutil.rmtree(image / "0")
    with pytest.raises(NotYetComplete, match="names the array 0, and there is none"):
        plan(image)
    text = (image / ".zattrs").read_text()
    for half in (text[: len(text) // 2], text[: len(text) // 2] + "\0" * 100, ""):
        (image / ".zattrs").write_text(half)
        with pytest.raises(NotYetComplete, match=r"\.zattrs ends before its end"):
            plan(image)


def test_a_damaged_chunk_is_told_with_its_array(image: Path) -> None:
    (image / "0/1/1/0").write_bytes(b"\x02\x01\x21\x02 not what it was")
    with pytest.raises(UnreadableImage, match=r"0/\.zarray"):
        read_plane(image, "0/.zarray", 1)
    with pytest.raises(UnreadableImage, match="it holds 3 planes, and plane 3 was asked for"):
        read_plane(image, "0/.zarray", 3)


def test_what_a_chunk_says_of_the_reader_is_not_done(image: Path) -> None:
    """A filter that unpickles would run what a stranger wrote."""
    metadata = json.loads((image / "0/.zarray").read_text())
    (image / "0/.zarray").write_text(json.dumps({**metadata, "filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(NothingToImport, match="its codec 'pickle' is not one that is read here"):
        plan(image)
    with pytest.raises(UnreadableImage, match="its codec 'pickle'"):
        read_plane(image, "0/.zarray", 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [3, 100_000, 100_000]}, "GiB a plane"),
        ({"shape": [10**9, 12, 16]}, "claims 1000000000 planes"),
        ({"chunks": [1, 100_000, 100_000]}, "GiB a chunk"),
        ({"chunks": [1, 0, 8]}, "do not fit shape"),
        ({"shape": "wide"}, "describes no array"),
        ({"dtype": "|O"}, "none of numbers"),
    ],
)
def test_damaged_metadata_is_refused_in_planning_or_reading(image: Path, change: dict[str, Any], reason: str) -> None:
    metadata = json.loads((image / "0/.zarray").read_text())
    (image / "0/.zarray").write_text(json.dumps({**metadata, **change}))
    with pytest.raises((MetadataError, NothingToImport, UnreadableImage), match=reason):
        read_plane(image, only(image)[1].files[0], 0)


@FORMATS
def test_a_field_that_is_damaged_leaves_the_others_of_its_plate(tmp_path: Path, zarr_format: int) -> None:
    folder = tmp_path / "assay.zarr"
    write_plate(folder, zarr_format, pixels_of)
    (folder / "B/2/1" / (".zattrs" if zarr_format == 2 else "zarr.json")).write_text("{")
    shutil.rmtree(folder / "B/11/0")
    plate = only(folder)[1]
    assert [(one.well, one.field) for one in plate.missing] == [("B02", 2), ("B11", 1)]
    assert plate.fields("B02") == (1,)
    assert plate.fields("B11") == (2,)
    assert plate.notes[0].startswith("2 cannot be read; the first: B/2/1/")


def test_images_side_by_side_in_one_group_are_one_fileset(tmp_path: Path) -> None:
    """As bioformats2raw writes them."""
    folder = tmp_path / "slide.zarr"
    write_group(folder, {"bioformats2raw.layout": 3}, 3)
    for series in range(2):
        write_image(folder / str(series), np.ones((8, 8), np.uint8), "yx", 3)
    (fileset,) = plan(folder).filesets
    assert [(plate.name, plate.kind) for plate in fileset.plates] == [("0", "image"), ("1", "image")]


def test_a_chunk_of_many_planes_and_a_shard_are_read(tmp_path: Path) -> None:
    pixels = np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16)
    write_image(tmp_path / "one.zarr", pixels, "zyx", 3, chunks=(1, 8, 8), shards=(2, 16, 16))
    plate = only(tmp_path / "one.zarr")[1]
    assert plate.n_images == 4
    np.testing.assert_array_equal(
        [read_plane(tmp_path / "one.zarr", image.file, image.page) for image in plate.images()], pixels
    )


def test_a_plane_that_is_not_what_its_plate_says_is_told(image: Path) -> None:
    plate = only(image)[1]
    shutil.rmtree(image / "0")
    zarr.create_array(
        image / "0",
        data=np.ones((3, 12, 17), np.uint16),
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    with pytest.raises(UnreadableImage, match="17 x 12"):
        read_image(msgspec.structs.replace(plate, root=str(image)), plate.image(0))


def test_chunks_are_found_by_either_way_of_naming_them() -> None:
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 20, 20],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 10, 10]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
    }
    array = parse_array(metadata, source="zarr.json")
    assert array.chunk_file((3, 1, 0)) == "c.3.1.0"
    assert array.chunk_position("c.3.1.0") == (3, 1, 0)
    assert array.chunk_position("c.3.2.0") is None
    assert array.chunk_position("zarr.json") is None


@FORMATS
def test_a_plate_is_read_from_the_repository_as_from_its_source(tmp_path: Path, zarr_format: int) -> None:
    source = tmp_path / "source"
    write_plate(source / "assay.zarr", zarr_format, pixels_of)
    (fileset,) = plan(source).filesets
    files = [SourceFile(path=file.path, size=file.n_bytes) for file in fileset.files]
    repository = LocalRepository(tmp_path / "data")
    try:
        stored = repository.transfer("imp-1", FolderReader(source), files)
        kept = StoredFileset(planner=fileset.planner, files=stored, plates=fileset.plates)
        (plate_id,) = repository.register("imp-1", [kept], source=str(source))
        plate = repository.plate(plate_id)
        assert {file.path for file in repository.files(plate_id)} == {file.path for file in fileset.files}
    finally:
        repository.close()
    shutil.rmtree(source)
    for image in plate.images():
        written = pixels_of({"B02": "B/2", "B11": "B/11"}[image.well], image.field - 1)
        np.testing.assert_array_equal(read_image(plate, image), written[image.t, image.c, image.z])
