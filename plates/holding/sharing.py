"""Extents that two files share on file systems that copy on write: XFS, btrfs and the like."""

from __future__ import annotations

import errno
import os
import struct
import sys

if sys.platform == "linux":
    import fcntl

_FICLONE = 0x40049409
_FIEMAP = 0xC020660B
_MAP = struct.Struct("=QQIIII")
_EXTENT = struct.Struct("=QQQQQIIII")
_N_EXTENTS = 64
_FLAG_SYNC = 1
_LAST, _INLINE, _SHARED = 0x1, 0x200, 0x2000

UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS})
"""What a file system answers that cannot share extents, or not between these two places."""


def share_extents(source: int, target: int) -> None:
    """Make ``target`` a copy of ``source`` at no cost; both are open descriptors.

    Raises:
        OSError: with an errno of UNSUPPORTED where this cannot be had here.
    """
    if sys.platform == "linux":
        fcntl.ioctl(target, _FICLONE, source)
    else:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def unshared_bytes(descriptor: int) -> int:
    """The bytes of a file that no other file shares.

    Raises:
        OSError: the file system does not say.
    """
    start = n_bytes = 0
    while True:
        request = _MAP.pack(start, (1 << 63) - 1 - start, _FLAG_SYNC, 0, _N_EXTENTS, 0)
        answer = bytearray(request + bytes(_N_EXTENTS * _EXTENT.size))
        _ask_extents(descriptor, answer)
        n_mapped = _MAP.unpack_from(answer)[3]
        flags = _LAST
        for n in range(n_mapped):
            logical, _, length, _, _, flags, *_ = _EXTENT.unpack_from(answer, _MAP.size + n * _EXTENT.size)
            start = logical + length
            if not flags & (_SHARED | _INLINE):
                n_bytes += length
        if flags & _LAST:
            return n_bytes


def _ask_extents(descriptor: int, answer: bytearray) -> None:
    if sys.platform == "linux":
        fcntl.ioctl(descriptor, _FIEMAP, answer)
    else:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
