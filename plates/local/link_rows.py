"""Rows of the catalogue for what was imported in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from ..repository import StoredFile


def imports_in_place(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The registered imports of which a file lies at its source alone."""
    rows = connection.execute(
        "SELECT DISTINCT import_id FROM imports JOIN filesets ON import = imports.id"
        " WHERE filesets.id IN (SELECT fileset FROM files WHERE links_to <> '')"
    )
    return tuple(row[0] for row in rows)


def linked_files(connection: sqlite3.Connection, import_id: str) -> Iterator[StoredFile]:
    """What an import recorded of the files that it linked to, without their checksums."""
    rows = connection.execute(
        "SELECT path, size, mtime_ns, inode, links_to FROM files JOIN filesets ON filesets.id = fileset"
        " JOIN imports ON imports.id = import WHERE import_id = ? AND links_to <> ''",
        (import_id,),
    )
    for path, size, mtime_ns, inode, links_to in rows:
        yield StoredFile(path=path, size=size, mtime_ns=mtime_ns, inode=int(inode), links_to=links_to)
