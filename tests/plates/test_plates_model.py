"""The columnar plate."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates import Image, Missing, Plate, build_plate

IMAGES = st.lists(
    st.builds(
        Image,
        well=st.sampled_from(["A01", "A02", "B07", "AF48"]),
        field=st.integers(0, 2**31 - 1),
        c=st.integers(0, 300),
        z=st.integers(0, 300),
        t=st.integers(0, 70000),
        kind=st.sampled_from(["plane", "projection"]),
        file=st.text(min_size=1, max_size=8),
        page=st.integers(0, 2**31 - 1),
        height=st.integers(1, 70000),
        width=st.integers(1, 70000),
        dtype=st.sampled_from(["uint8", "int8", "uint16", "float32"]),
    ),
    max_size=40,
)


@given(IMAGES)
def test_images_come_back_in_order_through_the_wire(images: list[Image]) -> None:
    plate = build_plate(iter(images), id=7, name="x")
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(plate), type=Plate)
    assert decoded == plate
    assert list(decoded.images()) == images
    assert plate.n_images == len(images)
    assert plate.n_fields == len({(image.well, image.field) for image in images})


@given(IMAGES, st.sets(st.sampled_from(["A01", "B07", "H12"])))
def test_a_plate_cut_to_some_wells_holds_their_images_alone(images: list[Image], wells: set[str]) -> None:
    missing = tuple(Missing(well=well, field=1, c=0, z=0, t=0) for well in ("A01", "H12"))
    cut = build_plate(images, id=7, name="x", missing=missing).only(wells)
    assert list(cut.images()) == [image for image in images if image.well in wells]
    assert set(cut.files) == {image.file for image in images if image.well in wells}
    assert {one.well for one in cut.missing} == wells & {"A01", "H12"}


@given(IMAGES)
def test_images_of_one_well_and_one_field(images: list[Image]) -> None:
    plate = build_plate(images, id=7, name="x")
    for well in ("A01", "H12"):
        assert list(plate.images(well=well)) == [image for image in images if image.well == well]
        assert plate.fields(well) == tuple(sorted({image.field for image in images if image.well == well}))
    for image in images[:3]:
        same = [one for one in images if (one.well, one.field) == (image.well, image.field)]
        assert list(plate.images(well=image.well, field=image.field)) == same


def test_a_plate_without_images_is_a_plate() -> None:
    plate = build_plate([], id=1, name="empty")
    assert (plate.n_images, plate.n_fields, list(plate.images()), plate.wells) == (0, 0, [], ())


def test_a_plate_of_13824_planes_is_a_few_byte_strings() -> None:
    images = [
        Image(f"{chr(65 + w // 24)}{w % 24 + 1:02d}", f, c, 0, 0, "plane", f"p_{w}_s{f}_w{c}.TIF", 0, 8, 8, "uint16")
        for w in range(384)
        for f in range(1, 10)
        for c in range(4)
    ]
    plate = build_plate(images, id=1, name="x")
    assert (plate.n_images, plate.n_fields, len(plate.wells)) == (13824, 3456, 384)
    assert list(plate.images()) == images
