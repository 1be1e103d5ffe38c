"""Folders that nobody else can enter, opened and judged one by one: what their names lead to may be swapped."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..local.disk import sync_folder

_LIST = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_DIRECTORY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BY_DESCRIPTOR = {os.open, os.stat, os.mkdir, os.unlink} <= os.supports_dir_fd and os.listdir in os.supports_fd
_DESCRIPTORS = "/proc/self/fd"


class NotPrivate(OSError):
    """A folder is not one that this account alone can enter, or not the one that was meant."""


class OpenFolder:
    """An open folder: names in it are looked for there, wherever its own name leads by now.

    Where a system has no such descriptors, as Windows, the names are looked for by their paths.
    """

    def __init__(self, path: Path, descriptor: int | None, seen: os.stat_result) -> None:
        self.path = path
        self.inode = seen.st_ino
        self._descriptor = descriptor
        self._device = seen.st_dev

    @property
    def at(self) -> str:
        """A path to put before names for calls that take nothing else; it is good as long as the folder is open."""
        if self._descriptor is not None and os.path.isdir(f"{_DESCRIPTORS}/{self._descriptor}"):  # noqa: PTH112
            return f"{_DESCRIPTORS}/{self._descriptor}"
        return str(self.path)

    def names(self) -> list[str]:
        """What lies in it, in order."""
        return sorted(os.listdir(self.path if self._descriptor is None else self._descriptor))  # noqa: PTH208 - of an open folder

    def status(self, name: str) -> os.stat_result:
        """What a name in it is; a link is told as one."""
        return os.stat(self._named(name), dir_fd=self._descriptor, follow_symlinks=False)

    def make(self, name: str, *, durable: bool = True) -> bool:
        """Make a folder in it that nobody else can enter; whether there was none by that name."""
        try:
            os.mkdir(self._named(name), mode=0o700, dir_fd=self._descriptor)
        except FileExistsError:
            return False
        if durable:
            self.sync()
        return True

    def write(self, name: str, content: bytes) -> None:
        """Make a file in it that was not there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
        descriptor = os.open(self._named(name), flags, 0o600, dir_fd=self._descriptor)
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        self.sync()

    def unlink(self, path: str) -> None:
        """Take the name of a file away that lies in it or in a folder of it."""
        os.unlink(self._named(path), dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Take a folder in it away with all that it holds."""
        shutil.rmtree(self._named(name), dir_fd=self._descriptor)
        self.sync()

    def remove_if_empty(self, name: str) -> None:
        """Take a folder in it away that is empty.

        Raises:
            OSError: something lies in it, or the disk refuses.
        """
        os.rmdir(self._named(name), dir_fd=self._descriptor)
        self.sync()

    def remove_empty(self) -> None:
        """Take all folders in it away in which no file lies, at any depth."""
        for above, names, _ in os.walk(self.at, topdown=False):
            for name in names:
                # One that holds something stays.
                with suppress(OSError):
                    os.rmdir(f"{above}/{name}")  # noqa: PTH106

    def sync(self) -> None:
        """Have its names on the disk."""
        if self._descriptor is None:
            sync_folder(self.path)
        else:
            os.fsync(self._descriptor)

    @contextmanager
    def entered(self, name: str) -> Iterator[OpenFolder]:
        """Open a folder in it, which nobody else can enter.

        Raises:
            NotPrivate: it is a link, somebody else's, open to others, or another file system is mounted there.
            FileNotFoundError: it is not there.
        """
        path = self.path / name
        try:
            descriptor = os.open(name, _LIST | _NO_FOLLOW, dir_fd=self._descriptor) if _BY_DESCRIPTOR else None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise NotPrivate(errno.ENOTDIR, "it is a link, or no folder", str(path)) from error
            raise
        try:
            seen = os.fstat(descriptor) if descriptor is not None else path.lstat()
            self._judge(path, seen)
            yield OpenFolder(path, descriptor, seen)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _judge(self, path: Path, seen: os.stat_result) -> None:
        why = ""
        if not stat.S_ISDIR(seen.st_mode):
            why = "it is a link, or no folder"
        elif sys.platform != "win32":
            if seen.st_uid != os.geteuid():
                # Its owner could put other files into the links' place.
                why = "it belongs to another account"
            elif stat.S_IMODE(seen.st_mode) & 0o077:
                # Not mended: it may be a folder with another purpose that somebody has given this name.
                why = "other accounts may enter it"
            elif seen.st_dev != self._device:
                # A file system of somebody's own says of its folders whatever he wants.
                why = "another file system is mounted there"
        if why:
            raise NotPrivate(errno.EPERM, why, str(path))

    def _named(self, name: str) -> str:
        return name if self._descriptor is not None else str(self.path / name)


@contextmanager
def opened(path: Path) -> Iterator[OpenFolder]:
    """Open a folder of which nothing is promised, to enter private ones in it.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    descriptor = os.open(path, _LIST) if _BY_DESCRIPTOR else None
    try:
        yield OpenFolder(path, descriptor, os.fstat(descriptor) if descriptor is not None else path.stat())
    finally:
        if descriptor is not None:
            os.close(descriptor)
