"""Files that were imported in place and that a library opens by itself, by their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UnreadableImage
from .link_records import link_of, recorded, recorded_as
from .linked_file import open_linked
from .repository import StoredFile


@contextmanager
def as_imported(root: Path, names: Iterable[str]) -> Iterator[None]:
    """Promise that these files were what was imported when the block began, and still when it ended.

    What a library opened in between, by a name that was exchanged and put back, is not seen: no better can be had
    of one that takes no open file. ``names`` are relative to ``root``, or absolute, of a link or of what it leads to.

    Raises:
        NoLongerAsImported: one is another file by now, or has changed.
        UnreadableImage: one is no part of the import.
    """
    records = [_record(root, name) for name in names]
    _look(root, records)
    yield
    _look(root, records)


def _look(root: Path, records: Iterable[StoredFile]) -> None:
    for record in records:
        with open_linked(link_of(root, record), record):
            pass


def _record(root: Path, name: str) -> StoredFile:
    found = recorded(root, os.path.relpath(name, root) if os.path.isabs(name) else name)  # noqa: PTH117
    found = found or recorded_as(root, name)
    if found is None:
        raise UnreadableImage(
            f"{name} is not read: it is no part of what was imported in place, and an image of that import needs it",
            hint="Import the folder again, together with all that its images need.",
        )
    return found
