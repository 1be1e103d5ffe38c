"""The files of one OME-Zarr, by their names below its root: on a disk here, elsewhere wherever they are served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from .errors import UnreadableImage
from .link_records import recorded
from .planners.zarr_metadata import ZarrArray
from .reach import EVERYTHING, Reach
from .stored_image import open_recorded, open_stored

MAX_METADATA_BYTES = 64 << 20


class Part(NamedTuple):
    """Bytes of a chunk from ``start``, counted from its end where negative; ``length`` None is all that follow."""

    start: int
    length: int | None = None


class ZarrFiles(Protocol):
    """What reading a plane asks of the files; every call blocks, and comes from several threads."""

    def has_metadata(self, path: str) -> bool:
        """Whether there is a file of this name."""

    def metadata(self, path: str) -> bytes:
        """All of a file that holds metadata.

        Raises:
            UnreadableImage: it is larger than metadata are, or may not be read.
            OSError: it is not there, or cannot be had.
        """

    def expect(self, array: ZarrArray, chunks: Sequence[str]) -> None:
        """Take note that these chunks, and no others, are wanted next."""

    def has_chunk(self, path: str) -> bool:
        """Whether a chunk was written."""

    def chunk(self, path: str, part: Part | None) -> bytes | None:
        """The bytes of a chunk or of a part of it; None of one that was never written.

        Raises:
            UnreadableImage: it may not be read.
            OSError: it cannot be had.
        """


class DiskFiles:
    """Files below a folder, each opened as ``open_stored`` does."""

    def __init__(self, root: Path, *, follow_links: bool = False, reach: Reach = EVERYTHING) -> None:
        """Open below ``root``; ``follow_links`` and ``reach`` as ``open_stored`` has them."""
        self._root = root
        self._follow_links = follow_links
        self._reach = reach

    def has_metadata(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return (self._root / path).is_file()

    def metadata(self, path: str) -> bytes:
        """All of a file that holds metadata.

        Raises:
            NoLongerAsImported: what was imported in place is not there as it was.
            UnreadableImage: it is larger than metadata are, or a link that no import recorded.
            OSError: it cannot be opened.
        """
        with open_stored(self._root, path, follow_links=self._follow_links, reach=self._reach) as stream:
            content = stream.read(MAX_METADATA_BYTES + 1)
        if len(content) > MAX_METADATA_BYTES:
            raise UnreadableImage(f"{path} is over {MAX_METADATA_BYTES >> 20} MiB, which no metadata is")
        return content

    def expect(self, array: ZarrArray, chunks: Sequence[str]) -> None:
        """Nothing: a disk is quick."""

    def has_chunk(self, path: str) -> bool:
        """Whether a chunk was written; where a link leads is for whoever opens it to say what is wrong with."""
        there = self._root / path
        return there.is_file() or (not self._follow_links and there.is_symlink())

    def chunk(self, path: str, part: Part | None) -> bytes | None:
        """The bytes of a chunk or of a part of it; None of one that was never written.

        Raises:
            NoLongerAsImported: what was imported in place is not there as it was.
            UnreadableImage: it is a link that no import recorded.
            OSError: it cannot be opened.
        """
        try:
            with open_stored(self._root, path, follow_links=self._follow_links, reach=self._reach) as file:
                return part_of(file, part)
        except (FileNotFoundError, NotADirectoryError):
            # A chunk that the import has and that is gone must not be taken for one that was never written.
            record = None if self._follow_links else recorded(self._root, path)
            if record is None:
                return None
        with open_recorded(self._root, record) as file:
            return part_of(file, part)


def part_of(file: IO[bytes], part: Part | None) -> bytes:
    """The bytes of an open chunk, or of a part of it."""
    if part is None:
        return file.read()
    start = part.start if part.start >= 0 else max(0, file.seek(0, 2) + part.start)
    file.seek(start)
    return file.read(-1 if part.length is None else part.length)
