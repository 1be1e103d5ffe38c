"""Folders that were judged for somebody and stay open for a moment: the next file there is judged alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .opening import check_may_read, open_for, pass_to
from .reach import Reach
from .regular_file import open_and_look

JUDGED_S = 1.0
"""How long what was found of a folder and of those above it is believed: for as long files of it are opened for who has
lost the right to enter one of them. Each file is judged itself, whenever it is opened."""

N_KEPT = 8
"""Folders that stay open: the files of a source come folder by folder, to a few threads."""


class JudgedFolders:
    """Opens a source's files for whom they are, as ``open_for`` does but sooner; usable from several threads."""

    def __init__(self, reach: Reach, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open within ``reach``; ``clock`` tells how old a judgement is."""
        self._reach = reach
        self._clock = clock
        self._changing = threading.Lock()
        self._kept: dict[str, _OpenFolder] = {}

    def open(self, path: str) -> int:
        """The descriptor alone; see ``open_and_look``."""
        return self.open_and_look(path)[0]

    def open_and_look(self, path: str) -> tuple[int, os.stat_result]:
        """A descriptor of the regular file that a path leads to, and what it is like.

        Raises:
            NotForReader: it is not for him, or lies elsewhere.
            NotAFile: something else is there.
            OSError: it cannot be opened.
        """
        if not self._reach.is_bounded:
            return open_and_look(path)
        above, _, name = path.rpartition("/")
        folder = self._folder(above) if above and name not in ("", ".", "..") else None
        if folder is not None:
            try:
                descriptor, seen = open_and_look(name, folder=folder.descriptor)
            except OSError:
                # A link, which may lead anywhere, or nothing that is opened: looked at as for the first time.
                pass
            else:
                check_may_read(self._reach, descriptor, seen, path)
                return descriptor, seen
        descriptor = open_for(self._reach, Path(path))
        return descriptor, os.fstat(descriptor)

    def _folder(self, path: str) -> _OpenFolder | None:
        """A folder in which files may be opened by their names; None where each is to be judged by itself."""
        now_s = self._clock()
        kept = self._kept.get(path)
        if kept is not None and now_s < kept.until_s:
            return kept
        try:
            # Named anew: what has been put in its place, or in that of one above it, is what is judged.
            descriptor = pass_to(self._reach, Path(path))
        except OSError:
            descriptor = None
        with self._changing:
            self._kept.pop(path, None)
            if descriptor is None:
                return None
            found = self._kept[path] = _OpenFolder(descriptor, now_s + JUDGED_S)
            if len(self._kept) > N_KEPT:
                del self._kept[next(iter(self._kept))]
        return found


class _OpenFolder:
    """A folder that is open until nobody uses it any more: another thread may be about to open a file in it."""

    __slots__ = ("descriptor", "until_s")

    def __init__(self, descriptor: int, until_s: float) -> None:
        self.descriptor = descriptor
        self.until_s = until_s

    def __del__(self) -> None:
        os.close(self.descriptor)
