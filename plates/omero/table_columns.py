"""Columns of a table with the types that their texts have, for OMERO.tables (pure)."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal["LongColumn", "DoubleColumn", "BoolColumn", "StringColumn", "ImageColumn", "WellColumn"]
Values = Sequence[int] | Sequence[float] | Sequence[bool] | Sequence[str]
ADDED = ("Image", "Well")
"""The names of the columns by which OMERO's viewers find what a row is about."""
_LONG = range(-(2**63), 2**63)
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_BOOLS = {"true": True, "false": False}


class BadTable(ValueError):
    """The text is no table with a header and rows of its length."""


class Column(NamedTuple):
    """A column of OMERO.tables; ``size`` is the most bytes of one of its texts, and 0 for other kinds."""

    kind: Kind
    name: str
    values: Values
    size: int = 0
    description: str = ""


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
    about = said if said != name else ""
    tries: tuple[tuple[Kind, Callable[[str], int | float | bool]], ...] = (
        ("LongColumn", _long),
        ("BoolColumn", _bool),
        ("DoubleColumn", _double),
    )
    if any(texts):
        for kind, parse in tries:
            try:
                return Column(kind, name, [parse(text) for text in texts], description=about)
            except (ValueError, KeyError):
                continue
    longest = max((len(text.encode()) for text in texts), default=0)
    return Column("StringColumn", name, list(texts), size=max(1, longest), description=about)


def _long(text: str) -> int:
    value = int(text)
    # What would not come back as it was is a text: 007, 1_000.
    if value not in _LONG or str(value) != text:
        raise ValueError(text)
    return value


def _bool(text: str) -> bool:
    return _BOOLS[text.lower()]


def _double(text: str) -> float:
    """A number; what was not measured is none."""
    if "_" in text or _LEADING_ZERO.match(text):
        raise ValueError(text)
    return float(text) if text.strip() else math.nan
