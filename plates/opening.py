"""Opening a source's files for somebody: the open file is judged, and each folder on its way as it is passed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .access import node_of
from .errors import NotForReader
from .permissions import Node
from .reach import Reach
from .regular_file import open_and_look, open_regular

# O_PATH asks for no more than to pass through a folder, as a path does.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_PASS |= getattr(os, "O_DIRECTORY", 0)
_LIST = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_DIRECTORY", 0)
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
    folder = _passed(reach, above, path, "enter a folder above it")
    try:
        descriptor, seen = open_and_look(name, folder=folder)
    finally:
        os.close(folder)
    check_may_read(reach, descriptor, seen, path)
    return descriptor


def check_may_read(reach: Reach, descriptor: int, seen: os.stat_result, path: str | Path) -> None:
    """Promise that an open file is for whom it is opened; its descriptor is closed otherwise.

    Raises:
        NotForReader: it is not.
        OSError: who may read it cannot be looked at.
    """
    if reach.account is None:
        return
    try:
        if not reach.may_read(node_of(descriptor, seen, follow_symlinks=True)):
            raise _refused(reach, path, "read it")
    except BaseException:
        os.close(descriptor)
        raise


def pass_to(reach: Reach, path: Path) -> int | None:
    """A descriptor of a folder in which files may be opened by their names; None where there are none of folders.

    Raises:
        NotForReader: it is not for him, or lies elsewhere.
        OSError: it cannot be passed through, or is none.
    """
    real = _real(reach, path)
    return _passed(reach, real, path, "enter it or a folder above it") if _BY_DESCRIPTOR else None


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


def _refused(reach: Reach, path: str | Path, what: str) -> NotForReader:
    name = reach.account.name if reach.account else ""
    return NotForReader(errno.EACCES, f"{name} has no permission to {what}", str(path))
