"""The SQLite database that knows what the repository holds."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...config.errors import MeshError
from .errors import CatalogueDamaged, RepositoryFailed, RepositoryFull, RepositoryReadOnly, repository_errors
from .schema import check_current, migrate

BUSY_S = 10.0
IDLE_READERS = 4

CACHE_KIB = 512
"""What one connection remembers of the file, which the system has in memory as well: of SQLite's own 2 MiB five such
take hours to fill."""


class Catalogue:
    """Hands out transactions: many that read, from any thread or process, and one that writes."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open a catalogue, making it where there is none.

        Raises:
            CatalogueDamaged: it is no catalogue of ours, a newer one, or an older one that may only be read.
            RepositoryFailed: there is none and ``read_only`` is given, or the disk refuses.
        """
        self._path = path
        self._read_only = read_only
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        if read_only:
            with self.reading() as connection:
                check_current(connection)
            return
        with self._errors():
            self._writer = self._connect()
            # FULL: a commit that was acknowledged is there after a power cut.
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._writer.execute(f"PRAGMA {pragma}")
            migrate(self._writer)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one consistent state until the block ends.

        Raises:
            CatalogueDamaged, RepositoryFailed: the database cannot be read.
        """
        with self._errors():
            connection = self._take()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.rollback()
                self._give_back(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the one connection that writes; what the block did appears at its end, durably, or not at all.

        Raises:
            RepositoryReadOnly: the catalogue was opened for reading.
            RepositoryFull: there is no room for it; nothing of it was done.
            CatalogueDamaged, RepositoryFailed: the database cannot be written.
        """
        if self._closed:
            raise RepositoryFailed(f"{self._path} is closed.")
        if self._writer is None:
            raise RepositoryReadOnly(f"{self._path} was opened for reading only.", hint="Ask the running mesh instead.")
        with self._writing, self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                # After COMMIT there is nothing left to roll back.
                self._writer.rollback()

    def close(self) -> None:
        """Close every connection that nobody uses; the others close when their block ends."""
        with self._idle_lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rwc'}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            # Connections wander between threads, one thread at a time.
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return connection

    def _take(self) -> sqlite3.Connection:
        with self._idle_lock:
            if self._closed:
                raise RepositoryFailed(f"{self._path} is closed.")
            if self._idle:
                return self._idle.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if not self._closed and len(self._idle) < IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with repository_errors(self._path):
                yield
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> MeshError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return RepositoryFull(
                f"The repository is full: {self._path} could not be written.",
                hint="Free space on that disk or move the data folder to a larger one, then retry.",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return CatalogueDamaged(
                f"The catalogue {self._path} is damaged: {error}.",
                hint="Put back the last copy of it; the imported files beside it are not touched.",
            )
        return RepositoryFailed(f"The catalogue {self._path} refused: {error}.", hint="Check the disk under it.")
