"""Reading what is held: from the staging folder where there are links, and never a version that was not held."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ..judged_folders import JudgedFolders
from ..local.errors import SourceChanged, SourceMissing
from ..local.folder_reader import OpenFile
from ..local.small_files import read_untouched
from ..reach import EVERYTHING, Reach
from ..repository import OpenSource, SourceFile
from .errors import NotHeld
from .guarantees import STAGED, HeldFile, Hold, watched
from .space import can_be_read_again

_OURS = JudgedFolders(EVERYTHING)


class HeldReader:
    """Opens the files of a hold, those that are still the source's within a ``reach``; usable from several threads."""

    def __init__(self, held: Hold, reach: Reach = EVERYTHING) -> None:
        self._hold = held
        self._reach = reach
        self._folders = JudgedFolders(reach)
        self._files = {file.path: file for file in held.files}

    def open(self, path: str) -> OpenSource:
        """Open a held file by its path in the source.

        Raises:
            NotHeld: the hold has no such file.
            SourceChanged: there is something else than a file.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be opened, or not for whom it would be.
        """
        file = self._files.get(path)
        if file is None:
            raise NotHeld(f"{path} is not among the files held for {self._hold.import_id}.")
        if file.guarantee not in STAGED:
            return OpenHeldFile(self._hold, file, self._folders)
        try:
            # Links and clones are the mesh's own, made of what was opened for whom it is.
            return OpenHeldFile(self._hold, file, _OURS)
        except SourceMissing:
            if not can_be_read_again(self._hold, file):
                raise
        # It was let go of, and the mesh ended before that was written down.
        return OpenHeldFile(self._hold, watched(file), self._folders)

    def read_small(self, files: Sequence[SourceFile]) -> list[bytes | None]:
        """Read small files whole, those that nothing has touched since they were held: their inodes tell."""
        return [self._read_small(file) for file in files]

    def _read_small(self, file: SourceFile) -> bytes | None:
        held = self._files.get(file.path)
        if held is None:
            return None
        name = self._hold.path_of(held)
        if held.guarantee in STAGED or not self._reach.is_bounded:
            return read_untouched(name, file, held.ctime_ns)
        return read_untouched(name, file, held.ctime_ns, opened=self._folders.open)


class _Seen(NamedTuple):
    """What tells versions apart that agree in size and time, and whether the source still names the file."""

    ctime_ns: int
    n_links: int
    named: bool


class OpenHeldFile:
    """One held file, from its opening to its closing; for one thread at a time."""

    def __init__(self, held: Hold, file: HeldFile, folders: JudgedFolders) -> None:
        self._file = file
        self._original = f"{held.source}/{file.path}"
        self._open = OpenFile(file.path, held.path_of(file), folders)
        self._last = _Seen(file.ctime_ns, file.n_links, named=True)
        self.name = self._open.name

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes and return how many; 0 at the end of the file.

        Raises:
            SourceMissing, SourceUnreadable, SourceFailed: the disk does not hand them out.
        """
        return self._open.read_into(buffer)

    def seek(self, offset: int) -> None:
        """Read on from this byte."""
        self._open.seek(offset)

    def look(self) -> SourceFile:
        """Say what the file is like now.

        Raises:
            SourceChanged: it was written to since it was held, also where its time was put back.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be looked at.
        """
        found = self._open.look()
        file = self._file.expected
        if (found.size, found.mtime_ns, found.inode) != (file.size, file.mtime_ns, file.inode):
            raise self._changed(f"it has {found.size:,} bytes and had {file.size:,}")
        if file.device not in (0, found.device):
            raise self._changed("a file of another file system took its place")
        status = self._open.seen
        seen = _Seen(status.st_ctime_ns, status.st_nlink, self._is_named(status.st_dev))
        # Taking a name away, giving one and renaming touch the ctime as writing does; anything else that does so
        # may have been a write whose time was put back.
        if seen.ctime_ns != self._last.ctime_ns and seen[1:] == self._last[1:]:
            raise self._changed("its time was put back after it was written to, or its owner or mode changed")
        self._last = seen
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()

    def _is_named(self, device: int) -> bool:
        if self._file.guarantee != "hard link":
            # Nothing that happens to the original touches its clone; any other was just looked at by its own name.
            return True
        try:
            original = os.stat(self._original)  # noqa: PTH116
        except OSError:
            return False
        return (original.st_dev, original.st_ino) == (device, self._file.inode)

    def _changed(self, how: str) -> SourceChanged:
        return SourceChanged(
            f"{self.name} changed after it was held ({how}).",
            hint="Something still writes to it: the import waits until the file is quiet, then reads it again.",
        )
