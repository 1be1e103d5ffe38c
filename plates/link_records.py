"""What an import in place recorded of its files, beside the links, for whoever opens one of them.

The catalogue is the truth; this is an extract of it that any process on any host can look into, since all of them
see the repository's folder. It is written whole, and never changed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .errors import UnreadableImage
from .repository import StoredFile

FILES = "files"
"""The folder of an import's files."""
RECORDS = "links.sqlite"
"""The name of the records, beside that folder."""

_KEPT = 8
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE links (
    path TEXT PRIMARY KEY,
    links_to TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_target ON links (links_to);
"""
_INSERT = "INSERT INTO links (path, links_to, size, mtime_ns, inode) VALUES (?, ?, ?, ?, ?)"
_BY_PATH = "SELECT path, links_to, size, mtime_ns, inode FROM links WHERE path = ?"
_BY_TARGET = "SELECT path, links_to, size, mtime_ns, inode FROM links WHERE links_to = ? LIMIT 1"

_lock = threading.Lock()
_open: OrderedDict[tuple[int, str], tuple[tuple[int, int], sqlite3.Connection]] = OrderedDict()


def write_link_records(path: Path, files: Iterable[StoredFile]) -> None:
    """Write the records of these files to a new file at ``path``; nothing is on the disk for certain yet.

    Raises:
        OSError: the disk refuses.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN")
            connection.executemany(
                _INSERT,
                # An inode of a network drive may exceed what SQLite counts to.
                ((file.path, file.links_to, file.size, file.mtime_ns, str(file.inode)) for file in files),
            )
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def recorded(root: Path, file: str) -> StoredFile | None:
    """The record of a file below ``root``, which is the folder of an import's files or one in it; None without one.

    Raises:
        UnreadableImage: the records themselves cannot be read.
    """
    files = _files_folder(root)
    if not files:
        return None
    path = os.path.normpath(f"{root}/{file}").removeprefix(f"{files}/")
    return _look_up(files, _BY_PATH, path)


def recorded_as(root: Path, target: str) -> StoredFile | None:
    """The record of the same import whose link leads to ``target``; None without one.

    Raises:
        UnreadableImage: the records themselves cannot be read.
    """
    files = _files_folder(root)
    return _look_up(files, _BY_TARGET, target) if files else None


def link_of(root: Path, file: StoredFile) -> str:
    """The path of the link that a record is about."""
    return f"{_files_folder(root)}/{file.path}"


def _files_folder(root: Path) -> str:
    """The folder of the import's files that ``root`` is or lies in; empty where it has no records."""
    # Strings, not paths: making paths of the parents costs more than looking for the record.
    folder = str(root)
    while (parts := os.path.split(folder))[1]:
        above, name = parts
        if name == FILES:
            try:
                found = os.lstat(f"{above}/{RECORDS}")
            except OSError:
                pass
            else:
                # What people gave these names is a link here: they write no record of their own.
                if stat.S_ISREG(found.st_mode):
                    return folder
        folder = above
    return ""


def _look_up(files: str, query: str, value: str) -> StoredFile | None:
    path = f"{files.removesuffix(FILES)}{RECORDS}"
    with _lock:
        try:
            row = _connection(path).execute(query, (value,)).fetchone()
        except (OSError, sqlite3.Error) as error:
            raise UnreadableImage(
                f"{path} cannot be read, and without it nothing that was imported in place: {error}",
                hint="Remove it and start the mesh again: it is made anew from the catalogue.",
            ) from error
    if row is None:
        return None
    name, links_to, size, mtime_ns, inode = row
    return StoredFile(path=name, size=size, mtime_ns=mtime_ns, inode=int(inode), links_to=links_to)


def _connection(path: str) -> sqlite3.Connection:
    seen = os.stat(path)  # noqa: PTH116 - for each of many thousand small files
    # A process that was forked off must not use what its parent opened.
    key, version = (os.getpid(), path), (seen.st_ino, seen.st_mtime_ns)
    if key in _open:
        if _open[key][0] == version:
            _open.move_to_end(key)
            return _open[key][1]
        _open.pop(key)[1].close()
    while len(_open) >= _KEPT:
        _open.popitem(last=False)[1][1].close()
    # Immutable: no locks, which a network drive may not have.
    connection = sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True, check_same_thread=False)
    _open[key] = version, connection
    return connection
