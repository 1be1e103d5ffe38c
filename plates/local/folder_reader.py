"""The source that lies in a folder on this host: its files are read as they are asked for."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from ..repository import SourceFile
from .errors import SourceChanged, source_error


class FolderReader:
    """Opens the files of one folder for reading; usable from several threads."""

    def __init__(self, folder: Path) -> None:
        # A string, not a path: joining paths costs more than reading a small file.
        self._folder = str(folder)

    def open(self, path: str) -> OpenFile:
        """Open the file at a path relative to the folder.

        Raises:
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be opened.
        """
        return OpenFile(path, f"{self._folder}/{path}")


class OpenFile:
    """One file of the folder, from its opening to its closing; for one thread at a time."""

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        self._path = path
        try:
            self._file = FileIO(name, "rb")
        except OSError as error:
            raise source_error(error, name) from error

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
        """Say what the file is like now.

        Raises:
            SourceChanged: its name leads to another file by now.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be looked at.
        """
        try:
            # By handle for a change in place, by name for a file that was put in its place.
            here, named = os.fstat(self._file.fileno()), os.stat(self.name)  # noqa: PTH116 - see FolderReader
        except OSError as error:
            raise source_error(error, self.name) from error
        if (here.st_ino, here.st_size, here.st_mtime_ns) != (named.st_ino, named.st_size, named.st_mtime_ns):
            raise SourceChanged(
                f"{self.name} changed while it was read: another file of {named.st_size:,} bytes took its place.",
                hint="Something still writes to it: the import waits until the file is quiet, then reads it again.",
            )
        return SourceFile(path=self._path, size=here.st_size, mtime_ns=here.st_mtime_ns, inode=here.st_ino)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
