"""How bytes come to lie on the disk and not in its cache."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def _load_syncfs() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "syncfs", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int]
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]


_syncfs = _load_syncfs()


def sync_files(folder: Path, files: Iterable[Path | str]) -> None:
    """Return when the files' bytes are on the disk under ``folder``.

    One syncfs stands for all of them: an fsync for each of ten thousand small files costs minutes.

    Raises:
        OSError: the disk refused.
    """
    if _syncfs is None:
        for file in files:
            sync_file(file)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def sync_file(path: Path | str) -> None:
    """Return when one file's bytes are on the disk.

    Raises:
        OSError: the disk refused.
    """
    # Windows flushes only what was opened for writing.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk; a Windows folder needs no such call.

    Raises:
        OSError: the disk refused.
    """
    if os.name == "posix":
        sync_file(path)


def make_folders(path: Path) -> None:
    """Make a folder and those above it, durably.

    Raises:
        OSError: the disk or its permissions refused.
    """
    if path.is_dir():
        return
    make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def free_bytes(folder: Path) -> int:
    """How many bytes this account may still write below a folder."""
    if os.name != "posix":
        return sys.maxsize
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize
