"""Wells: labels as A01 and positions as row and column, both ways (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import PlatePathError

MAX_ROWS = 26 + 26 * 26
MAX_COLUMNS = 99
_LABEL = re.compile(r"([A-Za-z]{1,2})(\d{1,3})", re.ASCII)
# 96, 384 and 1536 wells: the formats that are worth guessing when a vendor does not write one.
_FORMATS = ((8, 12), (16, 24), (32, 48))


def row_label(row: int) -> str:
    """Letters of a row counted from 0: A to Z, then AA to ZZ.

    Raises:
        PlatePathError: the row is negative or beyond ZZ.
    """
    if not 0 <= row < MAX_ROWS:
        raise PlatePathError(f"row {row} lies outside a plate of at most {MAX_ROWS} rows")
    if row < 26:
        return chr(65 + row)
    return chr(65 + row // 26 - 1) + chr(65 + row % 26)


def row_number(label: str) -> int:
    """Row counted from 0 of its letters, in either case.

    Raises:
        PlatePathError: the label is not one or two letters.
    """
    if not (1 <= len(label) <= 2 and label.isascii() and label.isalpha()):
        raise PlatePathError(f"'{label}' is not a row: one or two letters are")
    row = 0
    for letter in label.upper():
        row = row * 26 + ord(letter) - 64
    return row - 1


def well_label(row: int, column: int) -> str:
    """Label such as A01 of a row and a column, both counted from 0.

    Raises:
        PlatePathError: the position lies outside any plate.
    """
    if not 0 <= column < MAX_COLUMNS:
        raise PlatePathError(f"column {column} lies outside a plate of at most {MAX_COLUMNS} columns")
    return f"{row_label(row)}{column + 1:02d}"


def label_if_any(row: int | None, column: int | None) -> str:
    """Label of a position as a server tells it; empty where no well can lie there, or where it tells none."""
    if row is None or column is None or not (0 <= row < MAX_ROWS and 0 <= column < MAX_COLUMNS):
        return ""
    return well_label(row, column)


def well_position(label: str) -> tuple[int, int]:
    """Row and column, counted from 0, of a label such as A01, B7 or b07.

    Raises:
        PlatePathError: the label is not a row's letters and a column's number from 1.
    """
    match = _LABEL.fullmatch(label)
    if match is None or not 1 <= int(match[2]) <= MAX_COLUMNS:
        raise PlatePathError(
            f"'{label}' is not a well", hint="Write the row's letters and the column's number, for example A01."
        )
    return row_number(match[1]), int(match[2]) - 1


def well_order(label: str) -> tuple[int, str]:
    """What sorts labels as this project writes them by row, then column: Z48 stands before AA01."""
    return len(label), label


def normalise_well(label: str) -> str:
    """The label as this project writes it: B7 and b07 are B07.

    Raises:
        PlatePathError: the label is not a well.
    """
    return well_label(*well_position(label))


def plate_format(wells: Iterable[str]) -> tuple[int, int]:
    """Rows and columns of the smallest of the 96, 384 and 1536 well formats that holds all these wells."""
    positions = [well_position(well) for well in wells]
    rows = 1 + max((row for row, _ in positions), default=0)
    columns = 1 + max((column for _, column in positions), default=0)
    for n_rows, n_columns in _FORMATS:
        if rows <= n_rows and columns <= n_columns:
            return n_rows, n_columns
    return rows, columns
