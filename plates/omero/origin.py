"""What tells the imports of one data folder from those of every other that go to the same server."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from ..local.disk import make_folders, sync_file, sync_folder
from ..local.errors import repository_errors
from ..local.names import PART

ORIGIN = "omero-origin"


def origin_of(data: Path) -> str:
    """The name of a data folder's imports, made when it is first asked for; one process asks at a time.

    Raises:
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    path = data / ORIGIN
    with repository_errors(path):
        if not path.exists():
            make_folders(data)
            new = path.with_name(ORIGIN + PART)
            new.write_text(f"mesh-{uuid4().hex}\n", encoding="ascii")
            sync_file(new)
            new.replace(path)
            # Before anything is marked with it: under another name the mesh would not find its own again.
            sync_folder(data)
        return path.read_text(encoding="ascii").strip()
