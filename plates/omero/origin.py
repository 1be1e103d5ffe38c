"""What tells the imports and jobs of one data folder from those of every other that go to the same server."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from ..local.disk import make_folders, sync_file, sync_folder
from ..local.errors import repository_errors
from ..local.names import PART

ORIGIN = "omero-origin"
ORIGIN_OF_JOBS = "omero-origin-of-jobs"


def origin_of(data: Path, name: str = ORIGIN, *, journal: Path | None = None) -> str:
    """The name of a data folder's imports, or jobs, made when it is first asked for; one process asks at a time.

    Where their ``journal`` is not there (any more) they are numbered from 1, and get another name.

    Raises:
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    path = data / name
    with repository_errors(path):
        if not path.exists() or (journal is not None and not journal.exists()):
            make_folders(data)
            new = path.with_name(name + PART)
            new.write_text(f"mesh-{uuid4().hex}\n", encoding="ascii")
            sync_file(new)
            new.replace(path)
            # Before anything is marked with it: under another name the mesh would not find its own again.
            sync_folder(data)
        return path.read_text(encoding="ascii").strip()
