"""Columns of a CSV have the types of their texts, and find the images that their rows are about."""

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.omero.table_columns import BadTable, Column, batches, columns_of, with_ids, without_ids


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", "-2", "9223372036854775807"], "LongColumn", [1, -2, 2**63 - 1]),
        (["1", "9223372036854775808"], "StringColumn", ["1", "9223372036854775808"]),
        (["1.0", "2.5", "1e-05", "inf"], "DoubleColumn", [1.0, 2.5, 1e-05, math.inf]),
        (["1", "2.5"], "StringColumn", ["1", "2.5"]),
        (["1E10", "2E5"], "StringColumn", ["1E10", "2E5"]),
        (["1700000000123456789", ""], "StringColumn", ["1700000000123456789", ""]),
        (["2.5", ""], "StringColumn", ["2.5", ""]),
        (["True", "False"], "BoolColumn", [True, False]),
        (["True", "false"], "StringColumn", ["True", "false"]),
        (["True", "1"], "StringColumn", ["True", "1"]),
        (["1_000", "2"], "StringColumn", ["1_000", "2"]),
        (["007", "8"], "StringColumn", ["007", "8"]),
        (["+5", "8"], "StringColumn", ["+5", "8"]),
        (["0.0", "-0.5"], "DoubleColumn", [0.0, -0.5]),
        (["A01", "µ"], "StringColumn", ["A01", "µ"]),
        (["", ""], "StringColumn", ["", ""]),
    ],
)
def test_a_column_has_the_narrowest_type_that_all_its_texts_have(
    texts: list[str], kind: str, values: list[object]
) -> None:
    (column, _) = columns_of(["x,y", *(f"{text},0" for text in texts)])
    assert (column.kind, list(column.values)) == (kind, values)


def test_what_was_not_measured_is_no_number() -> None:
    (column, _) = columns_of(["area,n", "1.5,1", "nan,2"])
    assert column.kind == "DoubleColumn"
    assert [math.isnan(value) for value in column.values if isinstance(value, float)] == [False, True]


NUMERALS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.floats().map("{:E}".format),
    st.booleans().map(str),
    st.sampled_from(["", "00", "1_0", " 1", "true", "-nan", "1E10", "12345678901234567891"]),
    st.text("0123456789+-.eE_ ", max_size=6),
)


@given(st.lists(NUMERALS, min_size=1, max_size=4))
def test_every_value_is_told_again_as_it_was(texts: list[str]) -> None:
    (column, _) = columns_of(["x,y", *(f"{text},0" for text in texts)])
    assert [str(value) for value in column.values] == texts


def test_a_column_of_texts_is_as_wide_as_its_longest_in_bytes() -> None:
    (column, _) = columns_of(["name,n", "µµµ,1", "ab,2"])
    assert column.size == 6
    (empty, _) = columns_of(["name,n"])
    assert (empty.kind, empty.size, list(empty.values)) == ("StringColumn", 1, [])


def test_a_name_that_cannot_stand_keeps_its_text_as_a_description() -> None:
    columns = columns_of(["area/perimeter,,ok", "1,2,3"])
    assert [(one.name, one.description) for one in columns] == [
        ("area_perimeter", "area/perimeter"), ("column 2", "without a header"), ("ok", ""),
    ]  # fmt: skip
    assert [one.header for one in columns] == ["area/perimeter", "", "ok"]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_every_header_is_told_again_as_it_was(headers: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text).writerow(headers)
    try:
        columns = columns_of(io.StringIO(text.getvalue(), newline=""))
    except BadTable:
        # Such a one is stored as its file.
        return
    assert [one.header for one in columns] == headers


@pytest.mark.parametrize(
    ("lines", "reason"),
    [([], "no header"), ([""], "no header"), (["a,b", "1"], "line 2"), (["a,a", "1,2"], "same name")],
)
def test_what_is_no_table_is_told(lines: list[str], reason: str) -> None:
    with pytest.raises(BadTable, match=reason):
        columns_of(lines)


def test_rows_know_their_image_and_their_well() -> None:
    columns = columns_of(["field,area", "1,2.5", "2,3.5", "1,4.5"])
    image, well, *others = with_ids(columns, well_id=9, image_ids={1: 11, 2: 12})
    assert image == Column("ImageColumn", "Image", [11, 12, 11])
    assert well == Column("WellColumn", "Well", [9, 9, 9])
    assert tuple(others) == without_ids((image, well, *others)) == columns


def test_an_image_that_is_not_known_and_a_name_that_is_taken_are_left_alone() -> None:
    columns = columns_of(["field,Well", "1,x", "7,y"])
    assert with_ids(columns, well_id=9, image_ids={1: 11}) == without_ids(columns) == columns
    assert with_ids((), well_id=0, image_ids={}) == ()


@given(st.integers(0, 40), st.integers(1, 15))
def test_batches_hold_every_row_once(n_rows: int, at_once: int) -> None:
    columns = (Column("LongColumn", "n", list(range(n_rows))),)
    parts = [list(part[0].values) for part in batches(columns, at_once)]
    assert [n for part in parts for n in part] == list(range(n_rows))
    assert all(0 < len(part) <= at_once for part in parts)
