"""A file and its second name: giving it, and what is written down of a file that is held."""

from __future__ import annotations

import os
import stat

from ..local.errors import SourceChanged
from ..repository import SourceFile
from .guarantees import Guarantee, HeldFile


def give_name(name: str, staged: str) -> os.stat_result:
    """Give a file a second name, and say what it is; of a link, which gets none, that it is one."""
    try:
        os.link(name, staged, follow_symlinks=False)
        seen = os.lstat(staged)
    except PermissionError:
        # A link that is somebody else's may lead to a file that is not.
        seen = os.lstat(name)
        if not stat.S_ISLNK(seen.st_mode):
            raise
        return seen
    if stat.S_ISLNK(seen.st_mode):
        os.unlink(staged)  # noqa: PTH108
    return seen


def held_as(
    file: SourceFile, seen: os.stat_result, guarantee: Guarantee, original: os.stat_result | None = None
) -> HeldFile:
    """What is written down of a file as it was ``seen`` once it was held; of a clone the ``original``, too."""
    own = original if original is not None or guarantee == "reflink" else seen
    return HeldFile(
        path=file.path,
        guarantee=guarantee,
        size=_same(file.size, seen.st_size),
        mtime_ns=_same(file.mtime_ns, seen.st_mtime_ns),
        inode=_same(file.inode, seen.st_ino),
        ctime_ns=_same(file.mtime_ns, seen.st_ctime_ns),
        n_links=seen.st_nlink,
        origin=_same(file.inode, own.st_ino) if own is not None else file.inode,
        # What the original of a clone from before a crash was like then is not known.
        origin_ctime_ns=own.st_ctime_ns if own is not None else 0,
        device=_same(file.device, own.st_dev) if own is not None else file.device,
    )


def _same(known: int, seen: int) -> int:
    """The number that was seen, as the object that is known where it is that: of many thousand files both stay."""
    return known if known == seen else seen


def changed_since(name: str) -> SourceChanged:
    """The error for a file that is not the one that had settled."""
    return SourceChanged(
        f"{name} changed after it had settled.",
        hint="Something still writes to it: the import waits until the file is quiet, then reads it again.",
    )
