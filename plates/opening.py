"""Opening a source's files for somebody: the open file is judged, and each folder on its way as it is passed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .access import node_of
from .errors import NotForReader
from .permissions import Node
from .reach import Reach
from .regular_file import open_regular

# O_PATH asks for no more than to pass through a folder, as a path does.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_PASS |= getattr(os, "O_DIRECTORY", 0)
_LIST = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_DIRECTORY", 0)
_ABOVE = "enter a folder above it"
_FILES_AT_ONCE = 64
"""Files that are opened in a folder before it is judged again: what was allowed a moment ago."""
_BY_DESCRIPTOR = os.open in os.supports_dir_fd and os.scandir in os.supports_fd


def open_for(reach: Reach, path: Path) -> int:
    """A descriptor of the regular file that a path leads to.

    Raises:
        NotForReader: it is not for him, or lies elsewhere.
        NotAFile: something else is there.
        OSError: it cannot be opened.
    """
    if not reach.is_bounded:
        return open_regular(path)
    real = _real(reach, path)
    if not _BY_DESCRIPTOR:
        # Where no account ever counts.
        return open_regular(real)
    above, name = os.path.split(real)
    folder = _passed(reach, above, path, _ABOVE)
    try:
        return _opened_in(reach, folder, name, path)
    finally:
        os.close(folder)


class OpeningFor:
    """Opens one file after another for somebody, as ``open_for`` does; for one thread, which closes it.

    Those of one folder that come in a row are opened in the open folder, which is judged, with all those above it, for
    some of them at a time.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._above: str | None = None
        self._folder = -1
        self._n_left = 0

    def open(self, path: str) -> int:
        """A descriptor of the regular file that a path leads to.

        Raises:
            NotForReader: it is not for him, or lies elsewhere.
            NotAFile: something else is there.
            OSError: it cannot be opened.
        """
        if not self._reach.is_bounded or not _BY_DESCRIPTOR:
            return open_for(self._reach, Path(path))
        above, _, name = path.rpartition("/")
        if above != self._above or not self._n_left:
            self.close()
            folder = Path(above or "/")
            self._folder = _passed(self._reach, _real(self._reach, folder), folder, _ABOVE)
            self._above, self._n_left = above, _FILES_AT_ONCE
        self._n_left -= 1
        try:
            return _opened_in(self._reach, self._folder, name, Path(path))
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        # A link, and what it leads to may lie in another folder.
        return open_for(self._reach, Path(path))

    def close(self) -> None:
        """Let go of the folder."""
        self._above = None
        if self._folder >= 0:
            folder, self._folder = self._folder, -1
            os.close(folder)


def _opened_in(reach: Reach, folder: int, name: str, path: Path) -> int:
    """A descriptor of a regular file in an open folder that he may enter."""
    descriptor = open_regular(name, folder=folder)
    try:
        if not reach.may_read(_node(reach, descriptor)):
            raise _refused(reach, path, "read it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_folder_for(reach: Reach, path: Path) -> int | None:
    """A descriptor of a folder whose names may be looked at; None where its path does as well.

    Raises:
        NotForReader: it is not for him, or lies elsewhere.
        OSError: it cannot be opened, or is none.
    """
    if not reach.is_bounded:
        return None
    real = _real(reach, path)
    if not _BY_DESCRIPTOR:
        return None
    folder = _passed(reach, real, path, "enter it or a folder above it")
    try:
        return os.open(".", _LIST, dir_fd=folder)
    finally:
        os.close(folder)


def check_opens_for(reach: Reach, path: Path) -> None:
    """Promise that a file would be opened now, to who opens it by its path.

    Raises:
        NotForReader: it is not for him, or lies elsewhere.
        OSError: it cannot be opened.
    """
    if reach.is_bounded:
        os.close(open_for(reach, path))


def _real(reach: Reach, path: Path) -> str:
    """Where a path leads; of what lies elsewhere nothing is told, not even whether it is there."""
    real = os.path.realpath(path)
    if reach.refuses_path(real):
        raise NotForReader(errno.EACCES, "it leads out of the folders from which imports may come", str(path))
    return real


def _passed(reach: Reach, folder: str, path: Path, what: str) -> int:
    """A descriptor of a folder, reached from the root on through folders alone that are for him to enter.

    The path has no links: one that is there by now was laid since, and is not followed.
    """
    names = [name for name in folder.split("/") if name]
    descriptor = os.open("/", _PASS)
    try:
        while True:
            if not reach.may_enter(_node(reach, descriptor)):
                raise _refused(reach, path, what)
            if not names:
                return descriptor
            above, descriptor = descriptor, os.open(names.pop(0), _PASS, dir_fd=descriptor)
            os.close(above)
    except BaseException:
        os.close(descriptor)
        raise


def _node(reach: Reach, descriptor: int) -> Node:
    found = os.fstat(descriptor)
    if reach.account is None:
        return Node(mode=found.st_mode, uid=found.st_uid, gid=found.st_gid)
    # By the link in /proc: of what was opened to be passed through, the access control list is not told otherwise.
    return node_of(f"/proc/self/fd/{descriptor}", found, follow_symlinks=True)


def _refused(reach: Reach, path: Path, what: str) -> NotForReader:
    name = reach.account.name if reach.account else ""
    return NotForReader(errno.EACCES, f"{name} has no permission to {what}", str(path))
