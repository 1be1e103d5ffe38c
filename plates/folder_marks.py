"""Which folder it is that has a name: when it was made, which Python does not tell on Linux, beside its number."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable

_AT_FDCWD = -100
_INO, _BTIME = 0x100, 0x800
_STATX_BYTES = 256
_MASK, _INODE, _BORN = struct.Struct("=I"), struct.Struct("=32xQ"), struct.Struct("=80xqI")
"""Where struct statx has what was found, the inode and the time of birth; see statx(2)."""


def _load_statx() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]


_statx = _load_statx()


def folder_mark(path: str) -> tuple[int, int]:
    """The inode of a folder, and the ns since 1970 at which it was made; 0 where nobody tells that.

    A folder that is made right after another was deleted has its inode on ext4 and others: only the time differs.

    Raises:
        OSError: it cannot be looked at.
    """
    if _statx is not None:
        found = ctypes.create_string_buffer(_STATX_BYTES)
        if _statx(_AT_FDCWD, os.fsencode(path), 0, _INO | _BTIME, found) == 0:
            (mask,), (inode,) = _MASK.unpack_from(found), _INODE.unpack_from(found)
            seconds, ns = _BORN.unpack_from(found) if mask & _BTIME else (0, 0)
            return inode, seconds * 1_000_000_000 + ns
    # Also where a kernel or a container has no such call; what is wrong with the folder is said by this one.
    return os.stat(path).st_ino, 0  # noqa: PTH116 - one of many thousand
