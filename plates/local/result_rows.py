"""Rows of the catalogue for finished wells and for annotations."""

from __future__ import annotations

import sqlite3

import msgspec

from ..repository import Annotation, StoredResult
from .errors import ResultNotFound

_SELECT_ANNOTATION = "SELECT id, plate, namespace, name, value, well, author, created_at_s FROM annotations "


def find_result(connection: sqlite3.Connection, job: str, well: str) -> tuple[str, StoredResult] | None:
    """One finished well and its folder relative to the repository; None when it is not finished."""
    row = connection.execute("SELECT folder, record FROM results WHERE job = ? AND well = ?", (job, well)).fetchone()
    return None if row is None else (row[0], _decode(row[1]))


def get_result(connection: sqlite3.Connection, job: str, well: str) -> tuple[str, StoredResult]:
    """One finished well and its folder relative to the repository.

    Raises:
        ResultNotFound: the well is not finished, or nobody knows the job.
    """
    found = find_result(connection, job, well)
    if found is None:
        raise ResultNotFound(
            f"Job {job} has no finished result for {f'well {well}' if well else 'the image'}.",
            hint="See 'hcs-mesh jobs' for what is finished.",
        )
    return found


def list_results(connection: sqlite3.Connection, job: str) -> list[tuple[str, StoredResult]]:
    """The finished wells of a job in the order of the wells, with their folders."""
    rows = connection.execute(
        "SELECT folder, record FROM results WHERE job = ? ORDER BY plate, length(well), well", (job,)
    )
    return [(folder, _decode(record)) for folder, record in rows]


def insert_result(connection: sqlite3.Connection, result: StoredResult, folder: str, *, now_s: float) -> None:
    """Add a finished well that the catalogue does not know yet."""
    row = connection.execute(
        "INSERT INTO results (job, plate, well, attempt, n_objects, folder, committed_at_s, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            result.job,
            result.plate_id,
            result.well,
            result.attempt,
            result.n_objects,
            folder,
            now_s,
            msgspec.msgpack.encode(msgspec.structs.replace(result, folder="")),
        ),
    ).lastrowid
    connection.executemany(
        "INSERT INTO measurements VALUES (?, ?, ?)", [(row, name, value) for name, value in result.measurements]
    )
    connection.executemany(
        "INSERT INTO result_files (result, path, kind, output, field, c, z, t, size, sha1)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (row, file.path, file.kind, file.output, file.field, file.c, file.z, file.t, file.size, file.sha1)
            for file in result.files
        ],
    )


def insert_annotation(connection: sqlite3.Connection, key: str, annotation: Annotation) -> Annotation:
    """Add an annotation and return it with its id; the first one stays where the key is known."""
    connection.execute(
        "INSERT INTO annotations (key, plate, namespace, name, value, well, author, created_at_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (
            key,
            annotation.plate_id,
            annotation.namespace,
            annotation.name,
            annotation.value,
            annotation.well,
            annotation.author,
            annotation.created_at_s,
        ),
    )
    row = connection.execute(_SELECT_ANNOTATION + "WHERE key = ?", (key,)).fetchone()
    return _annotation(row)


def list_annotations(connection: sqlite3.Connection, plate_id: int) -> tuple[Annotation, ...]:
    """What is attached to a plate and its wells, oldest first."""
    rows = connection.execute(_SELECT_ANNOTATION + "WHERE plate = ? ORDER BY id", (plate_id,))
    return tuple(_annotation(row) for row in rows)


def _annotation(row: tuple[int, int, str, str, str, str, str, float]) -> Annotation:
    number, plate_id, namespace, name, value, well, author, created_at_s = row
    return Annotation(
        id=number,
        plate_id=plate_id,
        namespace=namespace,
        name=name,
        value=value,
        well=well,
        author=author,
        created_at_s=created_at_s,
    )


def _decode(record: bytes) -> StoredResult:
    return msgspec.msgpack.decode(record, type=StoredResult)
