"""Who else writes to the disks of a source and of the repository, as far as this system says."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .pace import MIB, UNLIMITED, Traffic

IN_FLIGHT_BYTES = 8 * MIB
"""What all copying threads together may have read, and counted, that they have not written yet."""

_SECTOR_BYTES = 512
_DISKSTATS = Path("/proc/diskstats")
_MEMINFO = Path("/proc/meminfo")


class _Disk(NamedTuple):
    """Counters of one disk since its start, and how many bytes of its file system are in use."""

    written: int
    n_writes: int
    writing_ms: int
    used: int


class TrafficWatch:
    """Compares what was written to some disks with what we have written there ourselves.

    Two signs count: a file system that fills faster than we fill it, which is known at once and over a network as
    well, and a disk that writes more than we gave it, which also finds who overwrites or deletes.
    """

    def __init__(self, source: Path, repository: Path) -> None:
        self._folders = {}
        for folder in (source, repository):
            try:
                self._folders[os.stat(folder).st_dev] = folder  # noqa: PTH116
            except OSError:
                continue
        try:
            self._ours = os.stat(repository).st_dev  # noqa: PTH116
        except OSError:
            self._ours = -1
        self._last: dict[int, _Disk] = {}
        self._ahead = 0.0
        # What is on its way to the disk when we come is of before, whoever wrote it.
        self._backlog = UNLIMITED
        self._is_first = True

    @property
    def devices(self) -> frozenset[int]:
        """The file systems that are looked at."""
        return frozenset(self._folders)

    def look(self, duration_s: float, own_bytes: int) -> Traffic:
        """Say what was seen since the last look, in which we had ``own_bytes`` read and written.

        The first look has nothing to compare with, and says that it saw for no time.
        """
        if self._is_first:
            duration_s, self._is_first = 0.0, False
        foreign = 0.0
        latency_ms = 0.0
        # Before the counters: what is not in memory any more by then is on the disk, and counted there.
        late = _late_bytes()
        counters = _counters()
        self._backlog += own_bytes
        for device, folder in self._folders.items():
            now = _disk(device, folder, counters)
            if now is None:
                continue
            before, self._last[device] = self._last.get(device), now
            if before is None:
                continue
            filled = float(now.used - before.used)
            written = float(now.written - before.written)
            if device == self._ours:
                # What was read last is counted by now, and may be written after this look.
                filled, ahead = filled - own_bytes - self._ahead, self._ahead + own_bytes - filled
                self._ahead = max(0.0, min(ahead, own_bytes, IN_FLIGHT_BYTES))
                # Bytes of ours reach the disk late, and are taken for ours once they may be.
                written, self._backlog = max(0.0, written - self._backlog), max(0.0, self._backlog - written)
            foreign += max(0.0, filled, written)
            n_writes = now.n_writes - before.n_writes
            if n_writes > 0:
                latency_ms = max(latency_ms, (now.writing_ms - before.writing_ms) / n_writes)
        # No more can come late than is in memory: what was deleted before it got to the disk never does.
        self._backlog = min(self._backlog, late + IN_FLIGHT_BYTES)
        return Traffic(duration_s, foreign, own_bytes, latency_ms)


def _late_bytes() -> float:
    """What this system has in memory of what was written, and still owes to its disks."""
    if sys.platform != "linux":
        return UNLIMITED
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return UNLIMITED
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith(("Dirty:", "Writeback:")))


def _counters() -> dict[tuple[int, int], Sequence[str]]:
    if sys.platform != "linux":
        return {}
    try:
        lines = [line.split() for line in _DISKSTATS.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {(int(words[0]), int(words[1])): words for words in lines if len(words) > 10}


def _disk(device: int, folder: Path, counters: dict[tuple[int, int], Sequence[str]]) -> _Disk | None:
    if sys.platform == "win32":
        # It tells how full a disk is, and not what is written there.
        try:
            return _Disk(0, 0, 0, shutil.disk_usage(folder).used)
        except OSError:
            return None
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    used = (space.f_blocks - space.f_bfree) * space.f_frsize
    words = counters.get((os.major(device), os.minor(device)))
    if words is None:
        return _Disk(0, 0, 0, used)
    return _Disk(int(words[9]) * _SECTOR_BYTES, int(words[7]), int(words[10]), used)
