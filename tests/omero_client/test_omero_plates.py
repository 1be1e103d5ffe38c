"""Plates of a server, asked for by those who may see them, in two calls whatever their size."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from omero_lab import address_of, login
from omero_plates import import_files, logged_in, save_plate, set_sizes, some_planes, write_ome_plate

from hcs_mesh.plates.errors import MetadataError
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.structure import LARGEST_COUNT, MAX_PLANES
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


@pytest.fixture
def plates(omero: RunningServer) -> Iterator[OmeroPlates]:
    pool = ConnectionPool(lambda: Connection(address_of(omero), login("ada")))
    yield OmeroPlates(pool)
    pool.close()


@pytest.mark.parametrize(("n_rows", "n_columns", "n_fields"), [(1, 1, 1), (8, 12, 2)])
def test_a_plate_is_asked_for_in_two_calls_whatever_its_size(
    omero: RunningServer, plates: OmeroPlates, n_rows: int, n_columns: int, n_fields: int
) -> None:
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "a plate", n_rows=n_rows, n_columns=n_columns, n_fields=n_fields)
    omero.control.tell("forget_counts")
    plate = plates.plate(plate_id)
    counts = omero.control.counts()
    asked = {name: n for name, n in counts.items() if name.startswith(("IQuery.", "IPixels.", "IContainer."))}
    assert sum(asked.values()) == 2, asked
    assert plate.n_images == n_rows * n_columns * n_fields * 4
    assert len(plate.wells) == n_rows * n_columns
    assert plate.channels == ("channel 0", "channel 1", "channel 2", "channel 3")
    assert (plate.name, plate.n_rows, plate.n_columns) == ("a plate", n_rows, n_columns)


def test_a_further_plate_costs_two_calls_and_nothing_beside_them(omero: RunningServer, plates: OmeroPlates) -> None:
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "a plate", n_rows=1, n_columns=2, n_fields=1)
    plates.plate(plate_id)
    omero.control.tell("forget_counts")
    plates.plate(plate_id)
    assert sum(omero.control.counts().values()) == 2, omero.control.counts()


def test_an_imported_plate_is_what_its_file_says(omero: RunningServer, plates: OmeroPlates, tmp_path: Path) -> None:
    path = write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(2, 3, 2, 40, 48))
    with logged_in(omero, "ada") as client:
        plate_id = next(number for kind, number in import_files(client, [path], tmp_path) if kind == "Plate")
    plate, places = plates.with_places(plate_id)
    assert plate.wells == ("A01", "A02")
    assert plate.fields("A02") == (1, 2, 3)
    assert plate.pixel_size_um == pytest.approx(0.65)
    assert {(one.height, one.width, one.dtype) for one in plate.images()} == {(40, 48, "uint16")}
    assert sorted(place.series for place in places.values()) == [0, 1, 2, 3, 4, 5]
    assert len({place.fileset_id for place in places.values()}) == 1


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((1.0, "pixel"), "1.0 PIXEL"),
        ((2.5, "reference frame"), "2.5 REFERENCEFRAME"),
        ((float("nan"), "µm"), "nan MICROMETER"),
        ((float("inf"), "mm"), "inf MILLIMETER"),
        ((-0.5, "µm"), "-0.5 MICROMETER"),
    ],
)
def test_a_plate_is_read_without_the_size_of_its_pixels_where_that_is_no_length(
    omero: RunningServer, plates: OmeroPlates, tmp_path: Path, size: tuple[float, str], told: str
) -> None:
    path = write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(1, 1, 2, 16, 16), pixel_size=size)
    with logged_in(omero, "ada") as client:
        plate_id = next(number for kind, number in import_files(client, [path], tmp_path) if kind == "Plate")
    plate = plates.plate(plate_id)
    assert (plate.pixel_size_um, plate.n_images, plate.channels) == (None, 2, ("channel 0", "channel 1"))
    assert plate.notes == (f"a pixel is told to be {told} wide, which is left out: it is no length",)


def test_an_empty_plate_is_there_and_one_that_never_was_is_not(omero: RunningServer, plates: OmeroPlates) -> None:
    with logged_in(omero, "ada") as client:
        plate_id = save_plate(client, "to be filled", n_rows=0, n_columns=0, n_fields=0)
    assert plates.plate(plate_id).n_images == 0
    assert plates.plate(plate_id).name == "to be filled"
    with pytest.raises(PlateNotFound):
        plates.plate(999_999)


def test_a_private_plate_of_somebody_else_is_not_there(omero: RunningServer, plates: OmeroPlates) -> None:
    with logged_in(omero, "grace") as client:
        plate_id = save_plate(client, "grace's own", n_rows=1, n_columns=1, n_fields=1)
    with pytest.raises(PlateNotFound):
        plates.plate(plate_id)
    assert plate_id not in {one.id for one in plates.plates()}


def test_a_plate_of_absurd_size_is_refused_and_others_are_read_on(omero: RunningServer, plates: OmeroPlates) -> None:
    with logged_in(omero, "ada") as client:
        absurd = save_plate(client, "absurd", n_rows=1, n_columns=1, n_fields=1, n_channels=1)
        set_sizes(client, absurd, Z=MAX_PLANES + 1)
        sound = save_plate(client, "sound", n_rows=1, n_columns=1, n_fields=1, n_channels=1)
    with pytest.raises(MetadataError, match=f"plate {absurd} at OMERO claims 2,000,001 planes.*well A01"):
        plates.plate(absurd)
    assert plates.plate(sound).n_images == 1


def test_an_image_of_absurd_size_leaves_everybody_the_list_of_plates(omero: RunningServer, plates: OmeroPlates) -> None:
    largest = 2**31 - 1
    with logged_in(omero, "ada") as client:
        numbers = [
            save_plate(client, name, n_rows=1, n_columns=1, n_fields=1, n_channels=2) for name in ("a", "b", "c", "d")
        ]
        set_sizes(client, numbers[0], C=largest, Z=largest, T=largest)
        # More than PostgreSQL's integer, and no more than any of OMERO's numbers.
        set_sizes(client, numbers[1], Z=50_000, T=50_000)
        set_sizes(client, numbers[2], C=-3)
    listed = {one.id: one for one in plates.plates()}
    assert [listed[number].n_images for number in numbers] == [LARGEST_COUNT, 5_000_000_000, 0, 2]
    assert [(listed[number].n_wells, listed[number].n_fields) for number in numbers] == [(1, 1)] * 4


def test_a_list_of_plates_counts_what_each_holds_in_two_calls(omero: RunningServer, plates: OmeroPlates) -> None:
    with logged_in(omero, "ada") as client:
        full = save_plate(client, "full", n_rows=2, n_columns=3, n_fields=2)
        empty = save_plate(client, "empty", n_rows=0, n_columns=0, n_fields=0)
        # As Bio-Formats' reader of MetaXpress makes every well of a plate, imaged or not.
        bare = save_plate(client, "bare", n_rows=2, n_columns=2, n_fields=0)
    omero.control.tell("forget_counts")
    listed = {one.id: one for one in plates.plates()}
    assert omero.control.counts().get("IQuery.projection") == 2
    assert (listed[full].name, listed[full].n_wells, listed[full].n_fields) == ("full", 6, 12)
    assert listed[full].n_images == 48
    assert [(listed[one].n_wells, listed[one].n_images) for one in (empty, bare)] == [(0, 0), (0, 0)]
