"""How bytes come to lie on the disk and not in its cache."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Collection, Iterable
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
_FEW_FOLDERS = 8
"""Folders that are synced one by one; a syncfs may have to wait for other writers of the same disk."""


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


def sync_folders(top: Path, folders: Collection[str]) -> None:
    """Return when the names in all these folders, which lie in ``top``, are on the disk.

    An OME-Zarr has ten thousand folders of a few files each: one syncfs stands for many.

    Raises:
        OSError: the disk refused.
    """
    if _syncfs is not None and len(folders) > _FEW_FOLDERS:
        sync_files(top, folders)
        return
    for folder in sorted(folders):
        sync_folder(Path(folder))


def make_all_folders(top: Path, folders: Iterable[str]) -> None:
    """Make these folders, paths relative to ``top`` (which is there), and those above them, durably.

    Raises:
        OSError: the disk or its permissions refused.
    """
    above: set[str] = set()
    for folder in folders:
        path = top / folder
        while not path.is_dir():
            path = path.parent
            above.add(str(path))
        (top / folder).mkdir(parents=True, exist_ok=True)
    sync_folders(top, above)


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
