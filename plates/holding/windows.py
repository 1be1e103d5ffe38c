"""Handles that keep others from deleting and changing files: Windows only, and untested there."""

from __future__ import annotations

import sys
import threading
from functools import cache
from pathlib import Path

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _GENERIC_READ = 0x80000000
    _SHARE_READ, _SHARE_WRITE = 0x1, 0x2
    _OPEN_EXISTING = 3
    _NORMAL = 0x80
    _INVALID = ctypes.c_void_p(-1).value

    def _create_file(path: str, share: int) -> int:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        create = kernel.CreateFileW
        create.argtypes = [
            wintypes.LPCWSTR,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.LPVOID,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.HANDLE,
        ]
        create.restype = wintypes.HANDLE
        handle = create(path, _GENERIC_READ, share, None, _OPEN_EXISTING, _NORMAL, None)
        if handle is None or handle == _INVALID:
            raise ctypes.WinError(ctypes.get_last_error())
        return int(handle)

    def _open_denied(path: str) -> int:
        try:
            # Whoever does not share deletion forbids deletion and rename; without writing, change as well.
            return _create_file(path, _SHARE_READ)
        except OSError:
            # Somebody has it open for writing: deletion alone can still be forbidden.
            return _create_file(path, _SHARE_READ | _SHARE_WRITE)

    def _close(handle: int) -> None:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CloseHandle.argtypes = [wintypes.HANDLE]
        kernel.CloseHandle(handle)

else:

    def _open_denied(path: str) -> int:
        raise OSError(f"{path}: only Windows denies deletion by open handles")

    def _close(handle: int) -> None:
        raise OSError(f"no handle {handle} here: only Windows denies deletion by open handles")


class DenyDelete:
    """Open handles by import; they end with this process, so that a new one takes them anew."""

    def __init__(self) -> None:
        self._handles: dict[str, dict[str, int]] = {}
        self._taking = threading.Lock()

    def deny(self, import_id: str, path: Path) -> None:
        """Keep a file from being deleted and renamed until ``release``; asking again changes nothing.

        Raises:
            OSError: it cannot be opened that way.
        """
        with self._taking:
            handles = self._handles.setdefault(import_id, {})
            if str(path) not in handles:
                handles[str(path)] = _open_denied(str(path))

    def release(self, import_id: str) -> None:
        """Let an import's files go."""
        with self._taking:
            for handle in self._handles.pop(import_id, {}).values():
                _close(handle)


@cache
def platform_denier() -> DenyDelete | None:
    """The handles of this process on Windows; None elsewhere."""
    return DenyDelete() if sys.platform == "win32" else None
