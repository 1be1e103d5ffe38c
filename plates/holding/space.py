"""What holds cost on the disk, and giving them up where that loses nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from ..local.errors import source_error
from .guarantees import STAGED, HeldFile, HeldSpace, Hold
from .private_folder import OpenFolder
from .sharing import unshared_bytes
from .staging import open_held


def let_go(held: Hold) -> Hold:
    """Give up what can be read from the source again; what has its only copy here stays held.

    Raises:
        SourceMissing, SourceFailed: a file that went away just now, or a disk that refuses.
        StagingFailed: the links are not where they were made, and nothing is let go of.
    """
    if not held.staging:
        return _let_go(held, None)
    with open_held(Path(held.staging), held.staging_inode) as folder:
        return _let_go(held, folder)


def _let_go(held: Hold, folder: OpenFolder | None) -> Hold:
    files: list[HeldFile] = []
    for file in held.files:
        name = f"{held.source}/{file.path}"
        links = folder if file.guarantee in STAGED and can_be_read_again(held, file) else None
        if links is None:
            files.append(file)
            continue
        try:
            before = os.stat(name)  # noqa: PTH116
            links.unlink(held.path_of(file).removeprefix(f"{held.staging}/"))
            seen = os.stat(name)  # noqa: PTH116 - one name less has touched its ctime
        except OSError as error:
            raise source_error(error, name) from error
        # Size and time stay those that had settled: a source that changed meanwhile is found out by its reader.
        files.append(
            msgspec.structs.replace(
                file,
                guarantee="watched only",
                inode=file.origin,
                ctime_ns=seen.st_ctime_ns,
                n_links=seen.st_nlink,
                origin_ctime_ns=_origin_ctime_ns(file, before, seen),
            )
        )
    return msgspec.structs.replace(held, files=tuple(files), reason="let go of under disk pressure")


def _origin_ctime_ns(file: HeldFile, before: os.stat_result, after: os.stat_result) -> int:
    """The ctime by which the original is known from now on; what had touched it before stays found out."""
    same = before.st_ino == file.origin and file.device in (0, before.st_dev)
    untouched = same and before.st_ctime_ns == file.origin_ctime_ns
    return after.st_ctime_ns if untouched else file.origin_ctime_ns


def held_space(held: Hold) -> HeldSpace:
    """Ask the disk what a hold costs now: links whose other names are gone, and extents that nothing else shares."""
    n_bytes = n_again = n_only = 0
    for file in held.files:
        if file.guarantee not in STAGED:
            continue
        path = held.path_of(file)
        cost = _cost(path, file)
        n_bytes += cost
        if can_be_read_again(held, file):
            n_again += cost
        else:
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
