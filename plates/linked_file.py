"""A file that was imported in place: opened on its way through no link, and read only as what was imported."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from .errors import NoLongerAsImported
from .repository import StoredFile

_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Without O_NONBLOCK a pipe that somebody put there would be waited for.
_FILE = _READ | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
# O_PATH asks for no more than to pass through a folder, as a path does.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_FOLDER |= getattr(os, "O_DIRECTORY", 0)


@contextmanager
def open_linked(link: str, file: StoredFile) -> Iterator[int]:
    """A descriptor of the very file that the repository's ``link`` stood for at its import, while the block lasts.

    The mesh may read what the owner of a linked file may not, and the owner may put anything in its place. So no link
    is followed, and it is the open file that is compared with the record: before the block and, for what was
    written meanwhile, after it.

    Raises:
        NoLongerAsImported: another file is there, or a link, or the file has changed.
    """
    leads = leads_to(link)
    if leads != file.links_to:
        raise NoLongerAsImported(
            file.path, f"the repository's link leads to {leads or 'nothing'} instead of {file.links_to}"
        )
    descriptor = _opened(file)
    try:
        _compare(file, os.fstat(descriptor))
        yield descriptor
        _compare(file, os.fstat(descriptor))
    finally:
        os.close(descriptor)


def leads_to(link: str) -> str:
    """What a link says; empty where there is none."""
    try:
        return os.readlink(link)  # noqa: PTH115 - for each of many thousand small files
    except OSError:
        return ""


def _opened(file: StoredFile) -> int:
    """Open a file by its recorded path, of which no part may be a link by now."""
    path = file.links_to
    if os.open not in os.supports_dir_fd:
        if os.path.realpath(path) != path:
            raise NoLongerAsImported(file.path, f"a part of {path} is a link by now")
        try:
            return os.open(path, _FILE)
        except OSError as error:
            raise _refused(file, path, error) from error
    *folders, name = path.strip("/").split("/")
    passed = "/"
    descriptor = -1
    try:
        descriptor = os.open(passed, _FOLDER)
        for folder in folders:
            passed = f"{passed.rstrip('/')}/{folder}"
            above, descriptor = descriptor, os.open(folder, _FOLDER, dir_fd=descriptor)
            os.close(above)
        passed = path
        return os.open(name, _FILE, dir_fd=descriptor)
    except OSError as error:
        raise _refused(file, passed, error) from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _refused(file: StoredFile, passed: str, error: OSError) -> NoLongerAsImported:
    if error.errno == errno.ENOENT:
        return NoLongerAsImported(file.path, f"{file.links_to} is no longer there")
    if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
        return NoLongerAsImported(file.path, f"{passed} is a link by now, or no folder")
    return NoLongerAsImported(file.path, f"{file.links_to} cannot be opened: {error.strerror}")


def _compare(file: StoredFile, seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise NoLongerAsImported(file.path, f"{file.links_to} is no file any more")
    sizes = f"{seen.st_size:,} bytes instead of {file.size:,}"
    if seen.st_ino != file.inode:
        of = f" of {sizes}" if seen.st_size != file.size else ""
        raise NoLongerAsImported(file.path, f"{file.links_to} was replaced by another file{of}")
    if seen.st_size != file.size:
        raise NoLongerAsImported(file.path, f"{file.links_to} was changed: {sizes}")
    if seen.st_mtime_ns != file.mtime_ns:
        times = f"last written at {_when(seen.st_mtime_ns)} instead of {_when(file.mtime_ns)}"
        raise NoLongerAsImported(file.path, f"{file.links_to} was changed: {times}")


def _when(mtime_ns: int) -> str:
    seconds, ns = divmod(mtime_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
