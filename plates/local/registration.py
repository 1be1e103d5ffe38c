"""Rows of the catalogue for one import: its filesets, files, plates, wells, fields and images."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec
import numpy as np

from ..labels import Target
from ..model import IMAGE_KINDS, Plate
from ..numbers import SPAN
from ..repository import StoredFileset
from .errors import FilesDoNotMatch
from .label_rows import attach_target


def registered_imports(connection: sqlite3.Connection) -> frozenset[str]:
    """The imports whose plates the catalogue has."""
    return frozenset(str(import_id) for (import_id,) in connection.execute("SELECT import_id FROM imports"))


def registered_plates(connection: sqlite3.Connection, import_id: str) -> tuple[int, ...] | None:
    """The plates of a registered import in the order of their making; None for an unknown import."""
    found = connection.execute("SELECT id FROM imports WHERE import_id = ?", (import_id,)).fetchone()
    if found is None:
        return None
    rows = connection.execute(
        "SELECT plates.id FROM plates JOIN filesets ON filesets.id = fileset WHERE import = ? ORDER BY plates.id", found
    )
    return tuple(row[0] for row in rows)


def insert_import(
    connection: sqlite3.Connection,
    import_id: str,
    filesets: Sequence[StoredFileset],
    *,
    name: str,
    source: str,
    owner: str,
    target: Target,
    now_s: float,
) -> tuple[int, ...]:
    """Add everything of one import and return the new plates' ids.

    Raises:
        FilesDoNotMatch: a plate names a file that its fileset does not hold.
    """
    import_row = connection.execute(
        "INSERT INTO imports (import_id, name, source, owner, registered_at_s) VALUES (?, ?, ?, ?, ?)",
        (import_id, name, source, owner, now_s),
    ).lastrowid
    ids: list[int] = []
    for fileset in filesets:
        row = connection.execute(
            "INSERT INTO filesets (import, planner, root) VALUES (?, ?, ?)", (import_row, fileset.planner, fileset.root)
        ).lastrowid
        first = _next_id(connection, "SELECT max(id) FROM files")
        connection.executemany(
            "INSERT INTO files (id, fileset, path, size, checksum, algorithm, mtime_ns, inode, links_to)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                # An inode of a network drive may exceed what SQLite counts to.
                (
                    first + n,
                    row,
                    file.path,
                    file.size,
                    file.checksum,
                    file.algorithm,
                    file.mtime_ns,
                    str(file.inode),
                    file.links_to,
                )
                for n, file in enumerate(fileset.files)
            ),
        )
        file_ids = {file.path: first + n for n, file in enumerate(fileset.files)} if fileset.plates else {}
        ids.extend(_insert_plate(connection, row, plate, file_ids) for plate in fileset.plates)
    attach_target(connection, import_id, tuple(ids), target, author=owner, now_s=now_s)
    return tuple(ids)


def _insert_plate(
    connection: sqlite3.Connection, fileset_row: int | None, plate: Plate, file_ids: dict[str, int]
) -> int:
    folder = f"{plate.root}/" if plate.root else ""
    unknown = [file for file in plate.files if folder + file not in file_ids]
    if unknown:
        raise FilesDoNotMatch(
            f"Plate {plate.name!r} names {len(unknown)} files that its fileset does not hold, first {unknown[0]!r}.",
            hint="The layout's planner is at fault: every image must lie in one of the fileset's files.",
        )
    # Counted here: SQLite would go on from the highest, and those of plates elsewhere lie above. None is ever deleted.
    plate_id = _next_id(connection, "SELECT max(id) FROM plates WHERE id < ?", SPAN)
    connection.execute(
        "INSERT INTO plates (id, fileset, root, name, kind, n_rows, n_columns, pixel_size_um, n_wells, n_fields,"
        " n_images, columns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            plate_id,
            fileset_row,
            plate.root,
            plate.name,
            plate.kind,
            plate.n_rows,
            plate.n_columns,
            plate.pixel_size_um,
            sum(well != "" for well in plate.wells),
            plate.n_fields,
            plate.n_images,
            msgspec.msgpack.encode(plate),
        ),
    )
    connection.executemany(
        "INSERT INTO channels VALUES (?, ?, ?)", [(plate_id, c, name) for c, name in enumerate(plate.channels)]
    )
    connection.executemany(
        "INSERT INTO missing_images (plate, well, field, c, z, t, file) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(plate_id, one.well, one.field, one.c, one.z, one.t, one.file) for one in plate.missing],
    )
    _insert_images(connection, plate_id, plate, [file_ids[folder + file] for file in plate.files])
    return plate_id


def _insert_images(connection: sqlite3.Connection, plate_id: int, plate: Plate, file_ids: Sequence[int]) -> None:
    """Number wells, fields and images ahead, so that each table is one executemany."""
    first_well = _next_id(connection, "SELECT max(id) FROM wells")
    connection.executemany(
        "INSERT INTO wells VALUES (?, ?, ?)", [(first_well + n, plate_id, label) for n, label in enumerate(plate.wells)]
    )
    well, field, c, z, t, kind, file, page, height, width, dtype = (
        np.frombuffer(column, dtype="<i4").tolist()
        for column in (
            plate.well_column,
            plate.field_column,
            plate.c_column,
            plate.z_column,
            plate.t_column,
            plate.kind_column,
            plate.file_column,
            plate.page_column,
            plate.height_column,
            plate.width_column,
            plate.dtype_column,
        )
    )
    first_field = _next_id(connection, "SELECT max(id) FROM fields")
    fields: dict[tuple[int, int], int] = {}
    field_rows = [fields.setdefault(pair, first_field + len(fields)) for pair in zip(well, field, strict=True)]
    connection.executemany(
        "INSERT INTO fields VALUES (?, ?, ?)", [(row, first_well + w, number) for (w, number), row in fields.items()]
    )
    connection.executemany(
        "INSERT INTO images (field, c, z, t, kind, file, page, height, width, dtype)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        zip(
            field_rows,
            c,
            z,
            t,
            [IMAGE_KINDS[one] for one in kind],
            [file_ids[one] for one in file],
            page,
            height,
            width,
            [plate.dtypes[one] for one in dtype],
            strict=True,
        ),
    )


def _next_id(connection: sqlite3.Connection, highest: str, *below: int) -> int:
    # Only one connection writes, so nobody takes the numbers in between.
    (used,) = connection.execute(highest, below).fetchone()
    return int(used or 0) + 1
