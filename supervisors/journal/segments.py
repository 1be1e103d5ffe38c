"""The files of a journal's folder: their names, their making, their removal."""

import itertools
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .disk import DISK, Disk
from .framing import SegmentHead, SegmentKind, segment_head

LOG_SUFFIX = ".log"
SNAPSHOT_SUFFIX = ".snapshot"
TEMPORARY_SUFFIX = ".tmp"

_ZEROS = bytes(1024 * 1024)


def segment_path(folder: Path, kind: SegmentKind, sequence: int) -> Path:
    """Return where the segment lies; names sort in the order of their sequences."""
    return folder / f"{sequence:020d}{LOG_SUFFIX if kind is SegmentKind.LOG else SNAPSHOT_SUFFIX}"


def segment_paths(folder: Path, kind: SegmentKind, disk: Disk = DISK) -> list[Path]:
    """Return the folder's segments of one kind in the order of their sequences."""
    suffix = LOG_SUFFIX if kind is SegmentKind.LOG else SNAPSHOT_SUFFIX
    return sorted(path for path in disk.paths(folder) if path.suffix == suffix and path.stem.isdigit())


def create_segment(
    folder: Path, head: SegmentHead, *, n_bytes: int, parts: Iterable[bytes] = (), disk: Disk = DISK
) -> int:
    """Make a segment that is there either whole or not at all; returns a descriptor to write it by.

    Raises:
        OSError: there is no room for ``n_bytes``, or the disk failed; nothing is left behind.
    """
    path = segment_path(folder, head.kind, head.sequence)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    descriptor = disk.open(temporary, new=True)
    try:
        disk.allocate(descriptor, n_bytes)
        if head.kind is SegmentKind.LOG:
            # Written zeros, not only reserved room: a sync into blocks that were never written also has to
            # commit the file system's own journal, which takes half as long again on ext4.
            for start in range(0, n_bytes, len(_ZEROS)):
                disk.write_at(descriptor, _ZEROS[: n_bytes - start], start)
        offset = 0
        for part in (segment_head(head), *parts):
            disk.write_at(descriptor, part, offset)
            offset += len(part)
        disk.sync(descriptor)
        disk.rename(temporary, path)
        disk.sync_folder(folder)
    except OSError:
        disk.close(descriptor)
        # The first error is the one to tell; a disk that also refuses this adds nothing to it.
        with suppress(OSError):
            disk.remove(temporary)
        raise
    return descriptor


def remove_obsolete(folder: Path, through: int, disk: Disk = DISK) -> list[str]:
    """Remove what a snapshot of ``through`` stands for, and leftovers of unfinished writes; returns the names."""
    removed: list[Path] = [path for path in disk.paths(folder) if path.suffix == TEMPORARY_SUFFIX]
    removed += [path for path in segment_paths(folder, SegmentKind.SNAPSHOT, disk) if int(path.stem) < through]
    logs = segment_paths(folder, SegmentKind.LOG, disk)
    # A log may go when the next one begins no later than behind the snapshot; the last always stays.
    removed += [log for log, following in itertools.pairwise(logs) if int(following.stem) <= through + 1]
    for path in removed:
        disk.remove(path)
    if removed:
        disk.sync_folder(folder)
    return [path.name for path in removed]
