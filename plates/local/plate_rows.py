"""Rows of the catalogue for plates: which there are, what each holds, and where its files lie."""

from __future__ import annotations

import sqlite3

import msgspec

from ..labels import UNLABELLED
from ..model import Plate, PlateSummary
from ..numbers import SPAN
from ..repository import StoredFile
from .errors import check_plate_id, no_plate
from .label_rows import labels_of_plates


def list_plates(connection: sqlite3.Connection) -> tuple[PlateSummary, ...]:
    """Every plate that lies here, oldest first."""
    labels = labels_of_plates(connection)
    rows = connection.execute(
        "SELECT id, name, n_wells, n_fields, n_images, kind FROM plates WHERE id < ? ORDER BY id", (SPAN,)
    )
    return tuple(
        PlateSummary(
            id=plate,
            name=name,
            n_wells=n_wells,
            n_fields=n_fields,
            n_images=n_images,
            kind=kind,
            labels=labels.get(plate, UNLABELLED),
        )
        for plate, name, n_wells, n_fields, n_images, kind in rows
    )


def place_of_plate(connection: sqlite3.Connection, plate_id: int) -> tuple[str, str]:
    """The import that a plate belongs to, and the plate's root below that import's files.

    Raises:
        PlateNotFound: no plate has this id.
    """
    check_plate_id(plate_id)
    row = connection.execute(
        "SELECT import_id, plates.root FROM plates JOIN filesets ON filesets.id = fileset"
        " JOIN imports ON imports.id = import WHERE plates.id = ?",
        (plate_id,),
    ).fetchone()
    if row is None:
        raise no_plate(plate_id)
    return row[0], row[1]


def get_plate(connection: sqlite3.Connection, plate_id: int) -> Plate:
    """What a plate held when it was planned, without its id and place.

    Raises:
        PlateNotFound: no plate has this id.
    """
    row = connection.execute("SELECT columns FROM plates WHERE id = ?", (plate_id,)).fetchone()
    if row is None:
        raise no_plate(plate_id)
    return msgspec.msgpack.decode(row[0], type=Plate)


def list_files(connection: sqlite3.Connection, plate_id: int) -> tuple[StoredFile, ...]:
    """The files of the fileset that a plate belongs to."""
    rows = connection.execute(
        "SELECT path, size, checksum, algorithm, mtime_ns, inode, links_to FROM files"
        " WHERE fileset = (SELECT fileset FROM plates WHERE id = ?) ORDER BY id",
        (plate_id,),
    )
    return tuple(
        StoredFile(
            path=path,
            size=size,
            checksum=checksum,
            algorithm=algorithm,
            mtime_ns=mtime_ns,
            inode=int(inode),
            links_to=links_to,
        )
        for path, size, checksum, algorithm, mtime_ns, inode, links_to in rows
    )
