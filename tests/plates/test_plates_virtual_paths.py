"""Wells and virtual paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.config.errors import MeshError
from hcs_mesh.plates.errors import PlatePathError
from hcs_mesh.plates.virtual_paths import VirtualPath, format_path, parse_path
from hcs_mesh.plates.wells import (
    label_if_any,
    normalise_well,
    plate_format,
    row_label,
    row_number,
    well_label,
    well_position,
)

WELLS = st.builds(well_label, st.integers(0, 701), st.integers(0, 98))
PLANES = st.builds(
    VirtualPath,
    plate_id=st.integers(0, 10**12),
    well=WELLS,
    field=st.integers(0, 5000),
    z=st.integers(0, 5000),
    c=st.integers(0, 5000),
    t=st.none() | st.integers(0, 10**6),
    kind=st.just("plane"),
)
PROJECTIONS = st.builds(lambda path: path._replace(z=0, kind="projection"), PLANES)


def test_a_path_reads_as_the_field_writes_it() -> None:
    path = VirtualPath(123, "A01", 1, 0, 0)
    assert format_path(path) == "plate_123/A01/A01_s001_z000_c000.tif"
    assert str(path._replace(t=0)) == "plate_123/A01/A01_s001_z000_c000_t000.tif"
    assert str(path._replace(kind="projection")) == "plate_123/A01/A01_s001_zproj_c000.tif"


@given(PLANES | PROJECTIONS)
def test_every_path_comes_back(path: VirtualPath) -> None:
    assert parse_path(format_path(path)) == path


@given(st.text(max_size=60) | PLANES.map(format_path).flatmap(lambda text: st.sampled_from([text[1:], text + "x"])))
def test_what_does_not_come_back_is_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except PlatePathError:
        return
    assert format_path(path) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plate_1/A01/A02_s001_z000_c000.tif",
        "plate_1/A00/A00_s001_z000_c000.tif",
        "plate_1/a01/a01_s001_z000_c000.tif",
        "plate_1/A01/A01_s1_z000_c000.tif",
        "plate_1/A01/A01_s0001_z000_c000.tif",
        "plate_01/A01/A01_s001_z000_c000.tif",
        "plate_1/A01/A01_s001_z000_c000.tif\n",
        "plate_1/A01/../A01_s001_z000_c000.tif",
        "plate_١/A01/A01_s001_z000_c000.tif",
    ],
)
def test_a_path_that_is_not_one_is_refused_as_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not the virtual path") as caught:
        parse_path(text)
    assert isinstance(caught.value, MeshError)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("row", "column", "label"),
    [(0, 0, "A01"), (25, 0, "Z01"), (26, 0, "AA01"), (31, 47, "AF48"), (7, 11, "H12"), (701, 98, "ZZ99")],
)
def test_positions_and_labels_of_wells(row: int, column: int, label: str) -> None:
    assert well_label(row, column) == label
    assert well_position(label) == (row, column)


@pytest.mark.parametrize(
    ("row", "column", "label"),
    [
        (0, 0, "A01"),
        (701, 98, "ZZ99"),
        (702, 0, ""),
        (0, 99, ""),
        (-1, 0, ""),
        (0, -1, ""),
        (None, 0, ""),
        (0, None, ""),
    ],
)
def test_a_position_that_no_well_has_is_without_a_label(row: int | None, column: int | None, label: str) -> None:
    assert label_if_any(row, column) == label


@given(st.integers(0, 701), st.integers(0, 98))
def test_every_well_comes_back(row: int, column: int) -> None:
    assert well_position(well_label(row, column)) == (row, column)
    assert row_number(row_label(row)) == row


@pytest.mark.parametrize(
    ("written", "label"), [("B7", "B07"), ("b07", "B07"), ("B07", "B07"), ("af48", "AF48"), ("A007", "A07")]
)
def test_vendor_spellings_are_written_alike(written: str, label: str) -> None:
    assert normalise_well(written) == label


@pytest.mark.parametrize("label", ["", "A", "7", "A0", "A00", "A100", "AAA01", "A-1", "0303", "A1 ", "A١"])
def test_what_is_no_well_is_refused(label: str) -> None:
    with pytest.raises(PlatePathError):
        normalise_well(label)


def test_positions_outside_any_plate_are_refused() -> None:
    for row, column in ((-1, 0), (0, -1), (702, 0), (0, 99)):
        with pytest.raises(PlatePathError):
            well_label(row, column)


@pytest.mark.parametrize(
    ("wells", "size"),
    [(["E07", "E08"], (8, 12)), (["H12"], (8, 12)), (["P24"], (16, 24)), (["AF48"], (32, 48)), (["AG01"], (33, 1))],
)
def test_the_smallest_usual_format_holds_the_wells(wells: list[str], size: tuple[int, int]) -> None:
    assert plate_format(wells) == size
