"""A plate out of OMERO's rows: one image for each plane, ragged where it is ragged, nothing invented."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.errors import MetadataError, UnreadableImage
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.model import PlateSummary
from hcs_mesh.plates.omero import structure as structure_module
from hcs_mesh.plates.omero.structure import (
    DTYPES,
    LARGEST_COUNT,
    MAX_PLANES,
    Description,
    Place,
    empty_plate,
    first_pixels,
    name_of,
    place_named,
    plane_of,
    structure,
    summaries,
)

ROOT = "omero://omero:4064"
SIZES = st.integers(1, 1 << 40)
IDS = st.integers(0, 1 << 62)


def row(
    well: tuple[int | None, int | None] = (0, 0),
    field: int = 0,
    *,
    pixels: int = 1,
    series: int | None = 0,
    size: tuple[int, int] = (64, 48),
    zct: tuple[int, int, int] = (1, 2, 1),
    kind: str = "uint16",
    fileset: int | None = 7,
    rows: int | None = 8,
    columns: int | None = 12,
) -> list[object]:
    z, c, t = zct
    return [*well, field, series, pixels, *size, z, c, t, kind, fileset, "a plate", rows, columns, 3, 100 + pixels, 9]


def test_an_image_of_omero_is_its_planes_in_the_order_of_channel_z_and_t() -> None:
    plate = structure(5, [row((1, 2), 3, pixels=9, zct=(2, 3, 2))], Description(), root=ROOT).plate
    images = list(plate.images())
    assert [(one.c, one.z, one.t) for one in images[:4]] == [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0)]
    assert [one.page for one in images] == list(range(12))
    assert {(one.well, one.field, one.file, one.height, one.width, one.dtype) for one in images} == {
        ("B03", 4, "pixels/9?group=3&fileset=7&series=0&c=3&z=2&t=2&y=48&x=64&type=uint16", 48, 64, "uint16")
    }
    assert (plate.id, plate.name, plate.n_rows, plate.n_columns, plate.root) == (5, "a plate", 8, 12, ROOT)


def test_a_plate_is_ragged_where_its_images_are() -> None:
    rows = [row(field=0, pixels=1, zct=(1, 2, 1)), row((0, 1), 0, pixels=2, zct=(5, 1, 1), size=(10, 20))]
    plate = structure(5, rows, Description(), root=ROOT).plate
    assert [len(list(plate.images(well=well))) for well in plate.wells] == [2, 5]
    assert plate.channels == ("0", "1")


def test_channels_are_named_as_they_were_described_and_by_number_where_they_were_not() -> None:
    described = Description(channels=("DAPI", ""), pixel_size_um=0.65)
    plate = structure(5, [row(zct=(1, 3, 1))], described, root=ROOT).plate
    assert plate.channels == ("DAPI", "1", "2")
    assert plate.pixel_size_um == 0.65


def test_the_image_with_the_most_channels_is_the_one_described() -> None:
    assert first_pixels([row(pixels=1), row(pixels=2, zct=(1, 4, 1)), row(pixels=3)]) == 2


def test_a_pixel_type_that_numpy_has_not_is_left_out_and_told() -> None:
    plate, places = structure(5, [row(pixels=1), row(field=1, pixels=2, kind="complex")], Description(), root=ROOT)
    assert plate.n_images == 2
    assert plate.notes == ("1 images of pixel type complex are left out",)
    assert [place.pixels_id for place in places.values()] == [1]


@pytest.mark.parametrize("at", [(None, 0), (0, None), (None, None), (-1, 0), (0, -1), (702, 0), (0, 99)])
def test_a_well_without_a_place_on_a_plate_is_left_out_and_told(at: tuple[int | None, int | None]) -> None:
    rows = [row((1, 2), pixels=1, rows=None, columns=None), row(at, pixels=2), row(at, 1, pixels=3, kind="complex")]
    plate, places = structure(5, rows, Description(), root=ROOT)
    assert (plate.wells, plate.n_images, plate.n_rows, plate.n_columns) == (("B03",), 2, 2, 3)
    assert plate.notes == ("2 images of wells without a row or column of a plate are left out",)
    assert [place.pixels_id for place in places.values()] == [1]
    alone = structure(5, [row(at, rows=None, columns=None)], Description(), root=ROOT).plate
    assert (alone.n_images, alone.n_rows, alone.n_columns, len(alone.notes)) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    "zct",
    [
        (2**31 - 1, 1, 2**31 - 1),
        (MAX_PLANES, 1, 1),
        # Channels are named though there is no plane of them, and t is gone through though it has no z.
        (0, MAX_PLANES, 1),
        (-1, 1, 2**31 - 1),
    ],
)
def test_a_plate_that_claims_more_planes_than_are_read_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch, zct: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(structure_module, "build_plate", lambda *_, **__: pytest.fail("it was built"))
    rows = [row(pixels=1), row((0, 1), field=2, pixels=2, zct=zct)]
    with pytest.raises(MetadataError, match=r"plate 5 .* claims .* most 2,000,000 .* field 3 of well A02") as refused:
        structure(5, rows, Description(), root=ROOT)
    assert "delete that image in OMERO" in refused.value.hint


def test_images_that_are_left_out_are_no_planes_of_a_plate_whatever_they_claim() -> None:
    rows = [row(pixels=1), row(field=1, pixels=2, zct=(1, MAX_PLANES, 1), kind="complex")]
    plate = structure(5, rows, Description(), root=ROOT).plate
    assert (plate.n_images, plate.channels) == (2, ("0", "1"))


def test_the_place_of_an_image_says_where_it_is_in_omero_and_on_disk() -> None:
    places = structure(
        5, [row(pixels=4, series=2), row(field=1, pixels=5, series=None, fileset=None)], Description(), root=ROOT
    ).places
    place, other = places.values()
    assert (place.pixels_id, place.group_id, place.fileset_id, place.series) == (4, 3, 7, 2)
    assert (other.pixels_id, other.fileset_id, other.series) == (5, 0, 0)


@given(
    st.builds(
        Place, SIZES, IDS, IDS, IDS, SIZES, SIZES, SIZES, SIZES, SIZES, st.sampled_from(sorted(set(DTYPES.values())))
    )
)
def test_the_name_of_a_place_says_all_of_it(place: Place) -> None:
    assert place_named(name_of(place)) == place


@pytest.mark.parametrize("name", ["", "pixels/9", "pixels/9?group=3", "{}x", "x{}", "{}\n", "pixels/٩?{}"])
def test_what_is_no_name_of_a_place_is_refused(name: str) -> None:
    good = name_of(Place(9, 3, 7, 0, 3, 2, 2, 48, 64, "uint16"))
    with pytest.raises(UnreadableImage, match="no place"):
        place_named(name.format(good))
    with pytest.raises(UnreadableImage, match="no place"):
        place_named(good.replace("uint16", "object"))


def test_planes_are_counted_by_channel_then_z_then_t() -> None:
    place = Place(9, 3, 7, 0, 3, 2, 2, 48, 64, "uint16")
    pages = [plane_of(place, page) for page in range(12)]
    assert pages == [(c, z, t) for t in range(2) for z in range(2) for c in range(3)]
    for page in (-1, 12):
        with pytest.raises(UnreadableImage, match="no plane"):
            plane_of(place, page)


def test_a_plate_without_its_format_is_as_large_as_its_wells_need() -> None:
    plate = structure(5, [row((3, 5), rows=None, columns=None)], Description(), root=ROOT).plate
    assert (plate.n_rows, plate.n_columns) == (4, 6)


def test_a_plate_without_images_is_empty_and_one_that_is_not_there_is_not_found() -> None:
    plate = empty_plate(5, [["a plate", 16, 24, 3]], root=ROOT).plate
    assert (plate.name, plate.n_rows, plate.n_columns, plate.n_images) == ("a plate", 16, 24, 0)
    with pytest.raises(PlateNotFound):
        empty_plate(5, [], root=ROOT)


def test_a_list_of_plates_counts_what_each_holds() -> None:
    shapes = [[1, 4, 1, 1, 383], [1, 2, 3, 5, 1]]
    (one, none) = summaries([[1, "first", 96, 384], [2, "second", 0, 0]], shapes)
    assert (one.id, one.n_wells, one.n_fields, one.n_images) == (1, 96, 384, 383 * 4 + 30)
    assert none.n_images == 0


def test_a_list_of_plates_bears_what_a_plate_claims() -> None:
    largest = 2**31 - 1
    rows = [[1, "claims too much", 1, 1], [2, "claims too little", 1, 2], [3, "sound", 1, 1]]
    shapes = [[1, largest, largest, largest, 1], [2, -3, 1, 1, 1], [2, 2, 1, 1, 1], [3, 4, 1, 1, 1]]
    found = summaries(rows, shapes)
    assert [one.n_images for one in found] == [LARGEST_COUNT, 2, 4]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=tuple[PlateSummary, ...]) == found


dimensions = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@given(st.dictionaries(st.tuples(st.integers(0, 31), st.integers(0, 47), st.integers(0, 3)), dimensions, min_size=1))
def test_every_plane_of_every_image_is_there_once(images: dict[tuple[int, int, int], tuple[int, int, int]]) -> None:
    rows = [
        row((at_row, column), field, pixels=n, zct=zct)
        for n, ((at_row, column, field), zct) in enumerate(images.items(), start=1)
    ]
    plate, places = structure(1, rows, Description(), root=ROOT)
    assert plate.n_images == sum(z * c * t for z, c, t in images.values())
    assert len({(one.file, one.page) for one in plate.images()}) == plate.n_images
    assert {one.file for one in plate.images()} == set(places)
    assert np.frombuffer(plate.page_column, "<i4").max() == max(z * c * t for z, c, t in images.values()) - 1
