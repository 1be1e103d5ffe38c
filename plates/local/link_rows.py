"""Rows of the catalogue for what was imported in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from ..repository import FileMark, StoredFile, file_mark


def imports_in_place(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The registered imports of which a file lies at its source alone."""
    rows = connection.execute(
        "SELECT DISTINCT import_id FROM imports JOIN filesets ON import = imports.id"
        " WHERE filesets.id IN (SELECT fileset FROM files WHERE links_to <> '')"
    )
    return tuple(row[0] for row in rows)


def links_into(connection: sqlite3.Connection, folder: str) -> Iterator[tuple[str, str]]:
    """The files below a folder that imports linked to, and which ones."""
    # "0" is the character behind "/": all that begins with the folder, whatever its name has in it.
    above = folder.rstrip("/")
    yield from connection.execute(
        "SELECT links_to, import_id FROM files JOIN filesets ON filesets.id = fileset"
        " JOIN imports ON imports.id = import WHERE links_to <> '' AND links_to > ? AND links_to < ?",
        (f"{above}/", f"{above}0"),
    )


def link_marks(connection: sqlite3.Connection) -> Iterator[tuple[FileMark | None, str]]:
    """The marks of all files that imports linked to, and which ones."""
    rows = connection.execute(
        "SELECT inode, size, mtime_ns, import_id FROM files JOIN filesets ON filesets.id = fileset"
        " JOIN imports ON imports.id = import WHERE links_to <> ''"
    )
    for inode, size, mtime_ns, import_id in rows:
        yield file_mark(int(inode), size, mtime_ns), import_id


def linked_files(connection: sqlite3.Connection, import_id: str) -> Iterator[StoredFile]:
    """What an import recorded of the files that it linked to, without their checksums."""
    rows = connection.execute(
        "SELECT path, size, mtime_ns, inode, links_to FROM files JOIN filesets ON filesets.id = fileset"
        " JOIN imports ON imports.id = import WHERE import_id = ? AND links_to <> ''",
        (import_id,),
    )
    for path, size, mtime_ns, inode, links_to in rows:
        yield StoredFile(path=path, size=size, mtime_ns=mtime_ns, inode=int(inode), links_to=links_to)
