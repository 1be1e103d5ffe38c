"""A stored file as it lies on the disk, read past the page cache as far as the system allows."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from io import FileIO

if sys.platform != "win32":
    import fcntl

BUFFER_BYTES = 1 << 20
"""Small enough that hashing and writing find it in the processor's cache."""


def disk_buffer() -> memoryview:
    """A buffer into which a disk can write without a copy between: it begins at a page.

    Its memory is the system's again once it is let go of. That of a bytearray may stay in the arena of the thread that
    made it: glibc has eight for each core, and import after import filled one more of them.
    """
    return memoryview(mmap.mmap(-1, BUFFER_BYTES))


class DiskFile:
    """Open for reading from its first byte on; where the file system has no direct reads, what is cached is dropped."""

    def __init__(self, path: str | int, *, fetched: bool = False) -> None:
        """Open a file, or take over a descriptor of one; one that was ``fetched`` has just come from the disk.

        Raises:
            OSError: it cannot be opened.
        """
        self._direct = 0 if fetched else getattr(os, "O_DIRECT", 0)
        if isinstance(path, int):
            descriptor = path
            self._direct = _enter_direct(descriptor) if self._direct else 0
        else:
            descriptor = self._opened(path)
        self._file = FileIO(descriptor, "rb")
        if hasattr(os, "posix_fadvise") and not fetched:
            # Also before direct reads: what is clean leaves the cache, which others need more.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def _opened(self, path: str) -> int:
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            return os.open(path, flags | self._direct)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            self._direct = 0
            return os.open(path, flags)

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes into a buffer of :func:`disk_buffer` and return how many; 0 at the end.

        Raises:
            OSError: the disk does not hand them out.
        """
        try:
            return self._file.readinto(buffer) or 0
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
        # Opened, but not read: a network or user-space file system that wants other sizes than pages.
        self._direct = _leave_direct(self._file.fileno())
        return self._file.readinto(buffer) or 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def fetch(descriptor: int) -> bool:
    """Have the disk begin to bring a small file anew, and say whether it does: many at once cost as much as a few.

    Raises:
        OSError: the disk refuses.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    return True


def _enter_direct(descriptor: int) -> int:
    direct = 0
    if sys.platform != "win32":
        direct = getattr(os, "O_DIRECT", 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | direct)
        except OSError:
            # A file system without direct reads.
            direct = 0
    return direct


def _leave_direct(descriptor: int) -> int:
    if sys.platform != "win32":
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~getattr(os, "O_DIRECT", 0))
    return 0
