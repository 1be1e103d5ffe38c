"""The opening of a journal's folder: taken, read back, its torn tail cut."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from .disk import NO_ROOM, Disk
from .errors import JournalFull, RecordRefused
from .framing import SEGMENT_HEAD_BYTES, SegmentHead, SegmentKind
from .recovery import Contents, Recovery, read_folder
from .segments import create_segment, remove_obsolete, segment_path


class Opened(NamedTuple):
    """What a folder held, the descriptor of its lock, and that of the segment to go on in."""

    contents: Contents
    recovery: Recovery
    lock: int
    descriptor: int
    capacity: int
    offset: int


def open_files(folder: Path, known: Collection[bytes], segment_bytes: int, disk: Disk) -> Opened:
    """Read a folder back, cut its torn tail, and open the segment to go on in.

    Raises:
        JournalDamaged: something that was durable is missing or changed; nothing was touched.
        JournalInUse: another process writes it.
        JournalFull: there is no room for a segment.
        NetworkFileSystem: the folder does not lie on a local disk.
        RecordRefused: a record has a tag that is not ``known``.
    """
    lock = disk.take(folder)
    try:
        contents = read_folder(folder, disk)
        for tag, file, offset in contents.first_uses():
            if tag not in known:
                raise RecordRefused(
                    f"{file} holds a record with the unknown tag {tag.decode(errors='replace')!r} at byte {offset}",
                    hint="It was written by another version of this program; use that one, or a newer one.",
                )
        removed = remove_obsolete(folder, contents.through, disk)
        descriptor, capacity, offset = _open_last(folder, contents, segment_bytes, disk)
    except BaseException:
        disk.close(lock)
        raise
    recovery = Recovery(
        n_records=contents.n_records,
        n_segments=len(contents.log),
        last_sequence=contents.next_sequence - 1,
        snapshot_through=contents.through,
        torn=contents.torn,
        removed=tuple(removed),
    )
    return Opened(contents, recovery, lock, descriptor, capacity, offset)


def _open_last(folder: Path, contents: Contents, segment_bytes: int, disk: Disk) -> tuple[int, int, int]:
    """Return descriptor, size and end of the segment to go on in, its torn tail cut."""
    if contents.last_log is None:
        try:
            head = SegmentHead(SegmentKind.LOG, 1)
            descriptor = create_segment(folder, head, n_bytes=max(segment_bytes, SEGMENT_HEAD_BYTES), disk=disk)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise JournalFull(str(folder), segment_bytes) from error
            raise
        return descriptor, max(segment_bytes, SEGMENT_HEAD_BYTES), SEGMENT_HEAD_BYTES
    path = segment_path(folder, SegmentKind.LOG, int(contents.last_log.stem))
    descriptor = disk.open(path)
    try:
        if contents.torn:
            # Zeros, not a shorter file: the room stays ours, and no stale record can follow a new one.
            disk.write_at(descriptor, bytes(contents.torn.n_bytes), contents.torn.offset)
        # What was read may have come from the cache of a writer that died before its sync.
        disk.sync(descriptor)
        disk.sync_folder(folder)
        return descriptor, disk.size(descriptor), contents.end
    except BaseException:
        disk.close(descriptor)
        raise
