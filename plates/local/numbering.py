"""Numbers for plates that lie elsewhere and whose results are kept here."""

from __future__ import annotations

import hashlib
import sqlite3

import msgspec

from ..model import Plate
from ..numbers import SPAN


def number_elsewhere(connection: sqlite3.Connection, span: int, address: str, name: str, *, now_s: float) -> int:
    """The number of the plate at an address, the same each time; a new one is the next of its span.

    It gets rows as an import without files would, because results belong to an import's plate.
    """
    import_id = f"elsewhere-{hashlib.sha256(address.encode()).hexdigest()[:32]}"
    row = connection.execute(
        "SELECT plates.id FROM plates JOIN filesets ON filesets.id = fileset JOIN imports ON imports.id = import"
        " WHERE import_id = ?",
        (import_id,),
    ).fetchone()
    if row is not None:
        return int(row[0])
    import_row = connection.execute(
        "INSERT INTO imports (import_id, name, source, owner, registered_at_s) VALUES (?, ?, ?, '', ?)",
        (import_id, name, address, now_s),
    ).lastrowid
    fileset = connection.execute(
        "INSERT INTO filesets (import, planner, root) VALUES (?, 'elsewhere', '')", (import_row,)
    ).lastrowid
    first, last = span * SPAN, (span + 1) * SPAN - 1
    highest = "SELECT coalesce(max(id), ?) FROM plates WHERE id BETWEEN ? AND ?"
    number = 1 + int(connection.execute(highest, (first, first, last)).fetchone()[0])
    connection.execute(
        "INSERT INTO plates (id, fileset, root, name, kind, n_rows, n_columns, n_wells, n_fields, n_images, columns)"
        " VALUES (?, ?, '', ?, 'plate', 0, 0, 0, 0, 0, ?)",
        (number, fileset, name, msgspec.msgpack.encode(Plate(id=0, name=name))),
    )
    return number
