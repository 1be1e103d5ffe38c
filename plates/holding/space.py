"""What holds cost on the disk, and giving them up where that loses nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..local.errors import source_error
from .guarantees import CLONE, CLONING, STAGED, HeldFile, HeldSpace, Hold, watched
from .own_name import is_of_another
from .private_folder import OpenFolder
from .sharing import unshared_bytes
from .staging import open_held


def let_go(held: Hold, *, data: Path | None = None) -> Hold:
    """Give up the clones of what can be read from the source again; what has its only copy here stays held.

    Links stay: they cost nothing as long as their file has another name, and are the only copy once it has none. So
    does all that was made under another name than that of the mesh whose data folder is ``data``.

    Raises:
        SourceMissing, SourceFailed: a disk that refuses.
        StagingFailed: the clones are not where they were made, and nothing is let go of.
    """
    if not held.staging or (data is not None and is_of_another(Path(held.staging).parent, data)):
        return held
    with open_held(Path(held.staging), held.staging_inode) as folder:
        files = tuple(_let_go(held, file, folder) for file in held.files)
    return msgspec.structs.replace(held, files=files, reason="let go of under disk pressure")


def _let_go(held: Hold, file: HeldFile, folder: OpenFolder) -> HeldFile:
    original = _untouched(held, file)
    if original is None:
        return file
    path = held.path_of(file)
    try:
        folder.unlink(path.removeprefix(f"{held.staging}/"))
    except OSError as error:
        raise source_error(error, path) from error
    # Size, time and ctime stay those that were cloned: a source that changes from now on is found out by its reader.
    return msgspec.structs.replace(watched(file), n_links=original.st_nlink)


def held_space(held: Hold) -> HeldSpace:
    """Ask the disk what a hold costs now: links whose other names are gone, and extents that nothing else shares."""
    n_bytes = n_again = n_only = 0
    for file in held.files:
        if file.guarantee not in STAGED:
            continue
        path = held.path_of(file)
        cost = _cost(path, file)
        n_bytes += cost
        if _untouched(held, file):
            n_again += cost
        # Whoever writes can put the time back: an original that was touched since is not known to be what was cloned.
        elif (file.guarantee == "reflink" and file.origin_ctime_ns) or not can_be_read_again(held, file):
            n_only += _may_be_only_copy(path, file, held.staging)
    return HeldSpace(import_id=held.import_id, n_bytes=n_bytes, n_bytes_again=n_again, n_files_only=n_only)


def held_bytes(held: Hold) -> int:
    """The bytes on the disk that exist only because this hold does."""
    return held_space(held).n_bytes


def can_be_read_again(held: Hold, file: HeldFile) -> bool:
    """Whether the source's name still leads to what is held: another file of that name is another's bytes."""
    try:
        seen = os.stat(f"{held.source}/{file.path}")  # noqa: PTH116 - one of many thousand
    except OSError:
        return False
    if seen.st_ino != file.origin or file.device not in (0, seen.st_dev):
        return False
    # A link's bytes are the file's own, whatever is written to it; a clone's are those that had settled.
    return file.guarantee == "hard link" or (seen.st_size, seen.st_mtime_ns) == (file.size, file.mtime_ns)


def n_unwritten_only(folder: Path, source: str) -> int:
    """How many files of a source lie nowhere any more but in a folder of links that no hold was written down of."""
    n_only = 0
    for above, _, names in os.walk(folder):
        for name in names:
            if name.endswith(CLONING):
                continue
            staged = os.path.join(above, name)  # noqa: PTH118 - one of many thousand
            path, *origin = (
                os.path.relpath(staged, folder).removesuffix(CLONE).rsplit(".", maxsplit=name.endswith(CLONE))
            )
            try:
                if origin:
                    n_only += str(os.stat(f"{source}/{path}").st_ino) != origin[0]  # noqa: PTH116
                else:
                    n_only += os.lstat(staged).st_nlink == 1
            except OSError:
                n_only += 1
    return n_only


def unwritten_only(homes: Iterable[Path], import_id: str, source: str) -> str:
    """Say how many files of a source lie nowhere any more but in links below these; empty if none do."""
    counted = ((home / import_id, n_unwritten_only(home / import_id, source)) for home in homes)
    return "; ".join(f"{n} of its files are nowhere any more but in {folder}" for folder, n in counted if n)


def _untouched(held: Hold, file: HeldFile) -> os.stat_result | None:
    """The original of a clone, if it is as it was cloned: a time that was put back shows in the ctime alone."""
    if file.guarantee != "reflink" or not file.origin_ctime_ns or not can_be_read_again(held, file):
        return None
    try:
        seen = os.stat(f"{held.source}/{file.path}")  # noqa: PTH116 - one of many thousand
    except OSError:
        return None
    return seen if seen.st_ctime_ns == file.origin_ctime_ns else None


def _may_be_only_copy(path: str, file: HeldFile, staging: str) -> bool:
    """Whether bytes may lie here alone: also where the disk is away just now, on which they do."""
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return not os.path.isdir(staging)  # noqa: PTH112 - one of many thousand
    except OSError:
        return True
    return file.guarantee != "hard link" or seen.st_nlink == 1


def _cost(path: str, file: HeldFile) -> int:
    try:
        seen = os.lstat(path)
        on_disk = _on_disk(seen)
        if file.guarantee == "hard link":
            return on_disk if seen.st_nlink == 1 else 0
        with open(path, "rb") as clone:  # noqa: PTH123
            try:
                return unshared_bytes(clone.fileno())
            except OSError:
                return on_disk
    except OSError:
        return 0


def _on_disk(seen: os.stat_result) -> int:
    if sys.platform == "win32":
        return seen.st_size
    else:  # noqa: RET505 - a type checker reads one of the two
        return seen.st_blocks * 512
