"""What became of a source since it was held: the names that lead to other bytes by now than were stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache

from ..certificate import Device
from ..checksums import new_digest
from ..devices import mount_above
from ..local.disk_file import disk_buffer
from ..local.errors import SourceChanged, SourceFailed, SourceMissing, source_error
from ..repository import SourceReader, StoredFile
from .guarantees import HeldFile, Hold


class NeedsReading(Exception):
    """Whether a source has changed cannot be told by a look: some of it has to be read."""


def look_only() -> SourceReader:
    """Stand for a reader where nothing is to be read.

    Raises:
        NeedsReading: always.
    """
    raise NeedsReading


def changed_since_held(
    held: Hold, stored: Sequence[StoredFile], reader: Callable[[], SourceReader], device: Device | None = None
) -> tuple[str, ...]:
    """The files whose names in the source lead to other bytes than were ``stored``; those that lead nowhere are none.

    What has the size, time, inode and ctime that it was held with is what it was. Anything else of the same size is
    read through a ``reader``, one for all: a changed mode and a second name touch the ctime as writing does, and change
    no byte.

    Raises:
        SourceFailed: the disk refuses; or a name leads nowhere, and the disk is not there that it lay on.
        SourceUnreadable: a file cannot be looked at.
    """
    by_path = {file.path: file for file in held.files}
    # Made where something has to be read at all: after a chmod of everything, that is each of many small files.
    read_by, buffer = cache(reader), cache(disk_buffer)
    changed: list[str] = []
    n_gone = 0
    for file in stored:
        name = f"{held.source}/{file.path}"
        try:
            seen = os.stat(name)  # noqa: PTH116 - one of many thousand
        except (FileNotFoundError, NotADirectoryError):
            n_gone += 1
            continue
        except OSError as error:
            raise source_error(error, name) from error
        if _is_as_held(by_path.get(file.path), seen):
            continue
        try:
            if seen.st_size != file.size or _checksum(read_by(), file, buffer()) != file.checksum:
                changed.append(file.path)
        except SourceMissing:
            continue
        except SourceChanged:
            changed.append(file.path)
    if n_gone and device is not None and device.mount_point not in ("", mount_above(held.source)):
        raise SourceFailed(
            f"the disk of {held.source} is not there, {device.volume or device.file_system} at {device.mount_point}",
            hint="mount it again: whether the source has changed is looked at before it is certified",
        )
    return tuple(changed)


def _is_as_held(file: HeldFile | None, seen: os.stat_result) -> bool:
    if file is None:
        return False
    known = (file.size, file.mtime_ns, file.origin, file.origin_ctime_ns)
    now = (seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_ctime_ns)
    return all(known[1:]) and known == now and file.device in (0, seen.st_dev)


def _checksum(reader: SourceReader, file: StoredFile, buffer: memoryview) -> str:
    digest = new_digest(file.algorithm)
    with closing(reader.open(file.path)) as opened:
        while n := opened.read_into(buffer):
            digest.update(buffer[:n])
    return digest.hexdigest()
