"""The catalogue's tables, and how an older catalogue becomes a newer one."""

from __future__ import annotations

import sqlite3

from .errors import CatalogueDamaged

_FIRST = """
CREATE TABLE imports (
    id INTEGER PRIMARY KEY,
    import_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    registered_at_s REAL NOT NULL
) STRICT;

CREATE TABLE filesets (
    id INTEGER PRIMARY KEY,
    import INTEGER NOT NULL REFERENCES imports,
    planner TEXT NOT NULL,
    root TEXT NOT NULL
) STRICT;
CREATE INDEX filesets_of_import ON filesets (import);

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    fileset INTEGER NOT NULL REFERENCES filesets,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha1 TEXT NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode TEXT NOT NULL,
    UNIQUE (fileset, path)
) STRICT;

-- The rows below are the truth that queries see; "columns" holds the same plate as one msgpack blob,
-- because the cache must open 13,824 images as one row and not as 13,824.
CREATE TABLE plates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fileset INTEGER NOT NULL REFERENCES filesets,
    root TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('plate', 'image')),
    n_rows INTEGER NOT NULL,
    n_columns INTEGER NOT NULL,
    pixel_size_um REAL,
    n_wells INTEGER NOT NULL,
    n_fields INTEGER NOT NULL,
    n_images INTEGER NOT NULL,
    columns BLOB NOT NULL
) STRICT;
CREATE INDEX plates_of_fileset ON plates (fileset);

CREATE TABLE channels (
    plate INTEGER NOT NULL REFERENCES plates,
    c INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (plate, c)
) STRICT, WITHOUT ROWID;

CREATE TABLE wells (
    id INTEGER PRIMARY KEY,
    plate INTEGER NOT NULL REFERENCES plates,
    label TEXT NOT NULL,
    UNIQUE (plate, label)
) STRICT;

CREATE TABLE fields (
    id INTEGER PRIMARY KEY,
    well INTEGER NOT NULL REFERENCES wells,
    field INTEGER NOT NULL,
    UNIQUE (well, field)
) STRICT;

CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    field INTEGER NOT NULL REFERENCES fields,
    c INTEGER NOT NULL,
    z INTEGER NOT NULL,
    t INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('plane', 'projection')),
    file INTEGER NOT NULL REFERENCES files,
    page INTEGER NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    dtype TEXT NOT NULL
) STRICT;
CREATE INDEX images_of_field ON images (field);

CREATE TABLE missing_images (
    id INTEGER PRIMARY KEY,
    plate INTEGER NOT NULL REFERENCES plates,
    well TEXT NOT NULL,
    field INTEGER NOT NULL,
    c INTEGER NOT NULL,
    z INTEGER NOT NULL,
    t INTEGER NOT NULL,
    file TEXT NOT NULL
) STRICT;
CREATE INDEX missing_images_of_plate ON missing_images (plate);

CREATE TABLE annotations (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    plate INTEGER NOT NULL REFERENCES plates,
    well TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at_s REAL NOT NULL
) STRICT;
CREATE INDEX annotations_of_plate ON annotations (plate);

CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    plate INTEGER NOT NULL REFERENCES plates,
    well TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    n_objects INTEGER NOT NULL,
    folder TEXT NOT NULL,
    committed_at_s REAL NOT NULL,
    record BLOB NOT NULL,
    UNIQUE (job, well)
) STRICT;
CREATE INDEX results_of_plate ON results (plate);

CREATE TABLE measurements (
    result INTEGER NOT NULL REFERENCES results,
    name TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (result, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE result_files (
    id INTEGER PRIMARY KEY,
    result INTEGER NOT NULL REFERENCES results,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    output TEXT NOT NULL,
    field INTEGER NOT NULL,
    c INTEGER NOT NULL,
    z INTEGER NOT NULL,
    t INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sha1 TEXT NOT NULL,
    UNIQUE (result, path)
) STRICT;
"""

_SECOND = """
ALTER TABLE files RENAME COLUMN sha1 TO checksum;
ALTER TABLE files ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'sha1' CHECK (algorithm IN ('sha1', 'sha256'));
-- Where the file lies that was imported in place; empty for one whose bytes are here.
ALTER TABLE files ADD COLUMN links_to TEXT NOT NULL DEFAULT '';

CREATE TABLE containers (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('screen', 'project', 'dataset')),
    name TEXT NOT NULL,
    -- The project of a dataset; 0 for none, because two NULLs are not the same to UNIQUE.
    parent INTEGER NOT NULL,
    owner TEXT NOT NULL,
    created_at_s REAL NOT NULL,
    UNIQUE (kind, name, parent)
) STRICT;

CREATE TABLE plate_containers (
    plate INTEGER NOT NULL REFERENCES plates,
    container INTEGER NOT NULL REFERENCES containers,
    PRIMARY KEY (plate, container)
) STRICT, WITHOUT ROWID;
"""

_THIRD = """
CREATE INDEX files_in_place ON files (fileset) WHERE links_to <> '';
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND, _THIRD)
"""Script n makes version n + 1 of version n; what has been released is never edited, only added to."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a catalogue to this version's tables, each step in a transaction of its own.

    Raises:
        CatalogueDamaged: a newer version has written it.
    """
    version = check_version(connection)
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;")


def check_version(connection: sqlite3.Connection) -> int:
    """Return the catalogue's version, 0 for an empty one.

    Raises:
        CatalogueDamaged: a newer version has written it.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise CatalogueDamaged(
            f"The catalogue has version {version} and this hcs-mesh reads up to {len(MIGRATIONS)}.",
            hint="Use the newer hcs-mesh that wrote it.",
        )
    return version


def check_current(connection: sqlite3.Connection) -> None:
    """Refuse a catalogue that has other tables than this version's.

    Raises:
        CatalogueDamaged: it is older, or newer.
    """
    version = check_version(connection)
    if version < len(MIGRATIONS):
        raise CatalogueDamaged(
            f"The catalogue has version {version} and this hcs-mesh reads version {len(MIGRATIONS)}.",
            hint="Start the mesh once ('hcs-mesh up'): it brings the catalogue up to date.",
        )
