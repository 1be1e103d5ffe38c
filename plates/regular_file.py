"""Opening a file that others may replace at any time: nobody is waited for, and what is no file is refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .errors import NotAFile

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# A pipe's other end would be waited for, for good, and a terminal would become that of this process.
_READ |= _NONBLOCK | getattr(os, "O_NOCTTY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: str | Path, *, folder: int | None = None) -> int:
    """Open a regular file for reading and return its descriptor, without waiting for anybody; links are followed.

    In an open ``folder`` the path is a name, and no link is followed.

    Raises:
        NotAFile: something else is there, or somebody holds a lease to write to it.
        OSError: it cannot be opened.
    """
    return open_and_look(path, folder=folder)[0]


def open_at_once(path: str | Path, *, folder: int | None = None) -> int:
    """Open what is there for reading, be it a file or not, without waiting for anybody.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, _READ if folder is None else _READ | _NO_FOLLOW, dir_fd=folder)


def open_and_look(path: str | Path, *, folder: int | None = None) -> tuple[int, os.stat_result]:
    """Open a file as ``open_regular`` does; returns its descriptor, and what it is like, which was looked at anyhow.

    Raises:
        NotAFile: something else is there, or somebody holds a lease to write to it.
        OSError: it cannot be opened.
    """
    try:
        descriptor = open_at_once(path, folder=folder)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise NotAFile(errno.EINVAL, "it is a socket or a device, and no file", str(path)) from error
        if error.errno == errno.EWOULDBLOCK:
            raise NotAFile(errno.EBUSY, "somebody has it open, to write to it alone", str(path)) from error
        raise
    try:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            kind = _KINDS.get(stat.S_IFMT(seen.st_mode), "something else")
            raise NotAFile(errno.EINVAL, f"it is {kind}, and no file", str(path))
        if _NONBLOCK:
            # A file system that fetches what it hands out, as from a tape, may let its readers wait.
            os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, seen
