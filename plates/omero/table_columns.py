"""Columns of a table with the types that their texts have, for OMERO.tables (pure)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal["LongColumn", "DoubleColumn", "BoolColumn", "StringColumn", "ImageColumn", "WellColumn"]
Values = Sequence[int] | Sequence[float] | Sequence[bool] | Sequence[str]
ADDED = ("Image", "Well")
"""The names of the columns by which OMERO's viewers find what a row is about; a CSV may have some of these names."""
_ADDED_KINDS: frozenset[Kind] = frozenset({"ImageColumn", "WellColumn"})
"""What only such columns are: no text makes one of a CSV's own."""
_UNNAMED = "without a header"
"""The description of a column whose header is empty, where another's is its header or nothing."""
_LONG = range(-(2**63), 2**63)
_BOOLS = {"True": True, "False": False}


class BadTable(ValueError):
    """The text is no table with a header and rows of its length."""


class Column(NamedTuple):
    """A column of OMERO.tables; ``size`` is the most bytes of one of its texts, and 0 for other kinds."""

    kind: Kind
    name: str
    values: Values
    size: int = 0
    description: str = ""
    """The header where it could not be the name."""

    @property
    def header(self) -> str:
        """What stood above the column in its CSV."""
        return "" if self.description == _UNNAMED else self.description or self.name


def columns_of(lines: Iterable[str], *, delimiter: str = ",") -> tuple[Column, ...]:
    """The columns of a CSV with a header.

    Raises:
        BadTable: there is no header, two columns share a name, or a row is of another length.
    """
    rows = list(csv.reader(lines, delimiter=delimiter))
    if not rows or not rows[0]:
        raise BadTable("there is no header")
    header, *rest = rows
    wrong = next((number for number, row in enumerate(rest, start=2) if len(row) != len(header)), 0)
    if wrong:
        raise BadTable(f"line {wrong} has {len(rest[wrong - 2])} columns and the header {len(header)}")
    names = [_usable(name, number) for number, name in enumerate(header, start=1)]
    if len(set(names)) < len(names):
        raise BadTable("two columns have the same name")
    return tuple(
        _typed(name, [row[at] for row in rest], said) for at, (name, said) in enumerate(zip(names, header, strict=True))
    )


def with_ids(columns: Sequence[Column], *, well_id: int, image_ids: Mapping[int, int]) -> tuple[Column, ...]:
    """The columns by which OMERO's viewers find a row's image and well, before the others; left out where not known."""
    n_rows = len(columns[0].values) if columns else 0
    names = {column.name for column in columns}
    added = []
    fields = next((column for column in columns if column.name == "field" and column.kind == "LongColumn"), None)
    if fields is not None and ADDED[0] not in names and all(int(field) in image_ids for field in fields.values):
        added.append(Column("ImageColumn", ADDED[0], [image_ids[int(field)] for field in fields.values]))
    if well_id and ADDED[1] not in names:
        added.append(Column("WellColumn", ADDED[1], [well_id] * n_rows))
    return (*added, *columns)


def without_ids(columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns that a CSV had."""
    return tuple(column for column in columns if column.kind not in _ADDED_KINDS)


def batches(columns: Sequence[Column], n_rows: int) -> Iterable[tuple[Column, ...]]:
    """The columns cut into parts of at most ``n_rows`` rows."""
    total = len(columns[0].values) if columns else 0
    for first in range(0, total, n_rows):
        yield tuple(column._replace(values=column.values[first : first + n_rows]) for column in columns)


def _usable(name: str, number: int) -> str:
    """A name that HDF5 takes."""
    usable = name.strip().replace("/", "_").strip(".")
    return usable or f"column {number}"


def _typed(name: str, texts: Sequence[str], said: str) -> Column:
    about = (said or _UNNAMED) if said != name else ""
    tries: tuple[tuple[Kind, Callable[[str], int | float | bool]], ...] = (
        ("LongColumn", _long),
        ("BoolColumn", _bool),
        ("DoubleColumn", float),
    )
    for kind, parse in tries if texts else ():
        try:
            values = [parse(text) for text in texts]
        except (ValueError, KeyError):
            continue
        # The CSV itself is not kept: what would come back in other words stays a text, as 007, 1E10, an integer that a
        # double rounds, or a blank among numbers.
        if all(str(value) == text for value, text in zip(values, texts, strict=True)):
            return Column(kind, name, values, description=about)
    longest = max((len(text.encode()) for text in texts), default=0)
    return Column("StringColumn", name, list(texts), size=max(1, longest), description=about)


def _long(text: str) -> int:
    value = int(text)
    if value not in _LONG:
        raise ValueError(text)
    return value


def _bool(text: str) -> bool:
    return _BOOLS[text]
