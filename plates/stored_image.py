"""Opening what the repository holds: a copy by its name, and what was imported in place as the file it was."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import UnreadableImage
from .link_records import link_of, recorded
from .linked_file import open_linked
from .opening import open_for
from .reach import EVERYTHING, Reach
from .repository import StoredFile

_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def open_stored(root: Path, file: str, *, follow_links: bool = False, reach: Reach = EVERYTHING) -> Iterator[IO[bytes]]:
    """A file below ``root``, open for reading while the block lasts.

    A link is followed as far as the import in place that made it recorded what it leads to. With ``follow_links``,
    for a folder that is no repository's, it is followed wherever it leads within ``reach``.

    Raises:
        NoLongerAsImported: what was imported in place is not there as it was.
        UnreadableImage: it is a link that no import recorded.
        OSError: it cannot be opened.
    """
    path = f"{root}/{file}"
    descriptor = open_for(reach, Path(path)) if follow_links else _opened(path)
    if descriptor is not None:
        with open(descriptor, "rb") as copy:  # noqa: PTH123 - it is no path
            yield copy
        return
    with open_recorded(root, record_of(root, file)) as original:
        yield original


@contextmanager
def open_recorded(root: Path, record: StoredFile) -> Iterator[IO[bytes]]:
    """What an import in place below ``root`` recorded, open for reading while the block lasts.

    Raises:
        NoLongerAsImported: it is not there as it was.
    """
    with open_linked(link_of(root, record), record) as linked, open(linked, "rb", closefd=False) as original:
        yield original


def is_linked(root: Path, file: str) -> bool:
    """Whether a file below ``root`` is a link."""
    return os.path.islink(f"{root}/{file}")  # noqa: PTH114 - for each of many thousand small files


def record_of(root: Path, file: str) -> StoredFile:
    """What the import in place recorded of a link.

    Raises:
        UnreadableImage: there is no such record.
    """
    found = recorded(root, file)
    if found is None:
        raise UnreadableImage(
            f"{file} cannot be read as an image: it is a link, and no import recorded what it led to",
            hint="Import the folder again; links in a folder that was not imported are followed with follow_links.",
        )
    return found


def _opened(path: str) -> int | None:
    """A descriptor of the file at a path; None where it is a link that must not be followed."""
    if not _NO_FOLLOW and os.path.islink(path):  # noqa: PTH114 - a system on which opening cannot tell
        return None
    try:
        return os.open(path, _READ | _NO_FOLLOW)
    except OSError as error:
        # What FreeBSD answers is EMLINK.
        if error.errno not in (errno.ELOOP, errno.EMLINK):
            raise
        return None
