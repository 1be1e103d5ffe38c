"""Small files, of which the calls of the system are all that costs: read whole, where nothing has touched them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from ..regular_file import open_at_once
from ..repository import SourceFile

SMALL_BYTES = 1 << 16


def read_untouched(
    name: str, file: SourceFile, ctime_ns: int = 0, *, opened: Callable[[str], int] = open_at_once
) -> bytes | None:
    """The bytes of a small file that was what is known of it before and after they were read; else None.

    It says of no file what is wrong with it, or whether anything is: who gets nothing opens the file, and looks closer.
    ``ctime_ns`` is when its inode was last changed, where that is known: nobody can put that back. ``opened`` returns a
    descriptor of what lies there, where not everybody is to have it.
    """
    if not (file.mtime_ns and file.inode):
        return None
    try:
        descriptor = opened(name)
        try:
            before = os.fstat(descriptor)
            if not _is_known(file, before, ctime_ns):
                return None
            content = read_content(descriptor, file.size)
        finally:
            os.close(descriptor)
        # By name: the same inode as at the opening tells of a change in place, another one of a replacement.
        after = os.stat(name)  # noqa: PTH116 - of many thousand small files
    except OSError:
        return None
    untouched = after.st_dev == before.st_dev and _is_known(file, after, before.st_ctime_ns)
    return content if untouched and len(content) == file.size else None


def read_content(descriptor: int, n_bytes: int) -> bytes:
    """The first bytes of an open file, as many as there are.

    Raises:
        OSError: the disk does not hand them out.
    """
    return os.read(descriptor, n_bytes)


def _is_known(file: SourceFile, seen: os.stat_result, ctime_ns: int) -> bool:
    return (
        stat.S_ISREG(seen.st_mode)
        and (seen.st_size, seen.st_mtime_ns, seen.st_ino) == (file.size, file.mtime_ns, file.inode)
        and file.device in (0, seen.st_dev)
        and ctime_ns in (0, seen.st_ctime_ns)
    )
