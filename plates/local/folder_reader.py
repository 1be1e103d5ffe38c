"""The source that lies in a folder on this host: its files are read as they are asked for, for whom they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from ..judged_folders import JudgedFolders
from ..reach import EVERYTHING, Reach
from ..repository import SourceFile
from .errors import SourceChanged, source_error
from .small_files import read_untouched


class FolderReader:
    """Opens the files of one folder for reading, within a ``reach``; usable from several threads."""

    def __init__(self, folder: Path, reach: Reach = EVERYTHING) -> None:
        # A string, not a path: joining paths costs more than reading a small file.
        self._folder = str(folder)
        self._reach = reach
        self._folders = JudgedFolders(reach)

    def open(self, path: str) -> OpenFile:
        """Open the file at a path relative to the folder.

        Raises:
            SourceChanged: there is something else than a file.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be opened, or not for whom it would be.
        """
        return OpenFile(path, f"{self._folder}/{path}", self._folders)

    def read_small(self, files: Sequence[SourceFile]) -> list[bytes | None]:
        """Read small files whole, those that are what is known of them and within the reach."""
        if not self._reach.is_bounded:
            return [read_untouched(f"{self._folder}/{file.path}", file) for file in files]
        opened = self._folders.open
        return [read_untouched(f"{self._folder}/{file.path}", file, opened=opened) for file in files]


class OpenFile:
    """One file of the folder, from its opening to its closing; for one thread at a time.

    ``seen`` is all that its latest look found.
    """

    def __init__(self, path: str, name: str, folders: JudgedFolders) -> None:
        self.name = name
        self._path = path
        try:
            descriptor, self.seen = folders.open_and_look(name)
            self._file = FileIO(descriptor, "rb")
        except OSError as error:
            raise source_error(error, name) from error
        self._looked = False

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes and return how many; 0 at the end of the file.

        Raises:
            SourceMissing, SourceUnreadable, SourceFailed: the disk does not hand them out.
        """
        try:
            return self._file.readinto(buffer) or 0
        except OSError as error:
            raise source_error(error, self.name) from error

    def seek(self, offset: int) -> None:
        """Read on from this byte."""
        self._file.seek(offset)

    def look(self) -> SourceFile:
        """Say what the file is like now; the first look is the one at its opening.

        Raises:
            SourceChanged: its name leads to another file by now.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be looked at.
        """
        if self._looked:
            try:
                # By name: the same inode as at the opening tells of a change in place, another one of a replacement.
                seen = os.stat(self.name)  # noqa: PTH116 - see FolderReader
            except OSError as error:
                raise source_error(error, self.name) from error
            if (seen.st_dev, seen.st_ino) != (self.seen.st_dev, self.seen.st_ino):
                raise SourceChanged(
                    f"{self.name} changed while it was read: another file of {seen.st_size:,} bytes took its place.",
                    hint="Something still writes to it: the import waits until the file is quiet, then reads it again.",
                )
            self.seen = seen
        self._looked = True
        seen = self.seen
        return SourceFile(
            path=self._path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
