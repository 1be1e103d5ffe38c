"""A disk in memory that forgets, tears, fills up and fails as disks do, for the journal's real code."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from virtual_world import Process, World

from hcs_mesh.supervisors.journal import Disk, JournalInUse

SECTOR = 512


class _File:
    __slots__ = ("data", "durable", "unsynced")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = bytes(data)
        self.unsynced: list[tuple[int, bytes]] = []


class MemoryHand:
    """Writes beside the loop of its process, a while after it was asked."""

    def __init__(self, process: Process, work: Callable[[list[Any]], bool]) -> None:
        self._process = process
        self._work = work
        self._jobs: list[Any] = []
        self._scheduled = False

    def put(self, job: Any) -> None:
        self._jobs.append(job)
        if not self._scheduled:
            self._scheduled = True
            self._process.call_later(self._process.world.random.random() * 0.02, self._run)

    def join(self) -> None:
        assert not self._jobs, "joined before its last job was done"

    def _run(self) -> None:
        self._scheduled = False
        jobs, self._jobs = self._jobs, []
        self._work(jobs)


class MemoryDisk(Disk):
    """What one host's disk holds; a process that died does nothing to it any more."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._owner: Process | None = None
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._name_changes: list[tuple[Path, _File | None]] = []
        self._open: dict[int, _File] = {}
        self._locks: dict[int, Path] = {}
        self._next = 10
        self.full = False
        self.failing_syncs = 0
        self.crash_at: int | None = None
        self.n_calls = 0

    def belongs_to(self, process: Process) -> None:
        """Be used by a new process from now on, with what survived the one before."""
        self._owner = process
        self._open.clear()
        self._locks.clear()
        self.full = False
        self.failing_syncs = 0
        self.crash_at = None

    def lose_power(self) -> None:
        """Keep what was synced, and of the rest what chance has let reach the disk."""
        chance = self._world.random
        kept = chance.randrange(len(self._name_changes) + 1)
        for path, file in self._name_changes[:kept]:
            _rename(self._durable_names, path, file)
        self._name_changes.clear()
        self._names = dict(self._durable_names)
        files = {id(file): file for file in self._names.values()}
        for file in files.values():
            data = bytearray(file.durable)
            for offset, written in file.unsynced:
                for start in range(0, len(written), SECTOR):
                    if chance.random() < 0.5:
                        part = written[start : start + SECTOR]
                        data[len(data) : offset + start] = bytes(max(0, offset + start - len(data)))
                        data[offset + start : offset + start + len(part)] = part
            file.data, file.durable, file.unsynced = data, bytes(data), []

    # -- what the journal calls -------------------------------------------------------------------

    def take(self, folder: Path) -> int:
        if folder in self._locks.values():
            raise JournalInUse(f"the journal {folder} is in use by process 1")
        self._next += 1
        self._locks[self._next] = folder
        return self._next

    def hand(self, name: str, work: Any) -> MemoryHand:
        assert self._owner is not None
        return MemoryHand(self._owner, work)

    def paths(self, folder: Path) -> list[Path]:
        return [path for path in self._names if path.parent == folder]

    def read(self, path: Path) -> bytes:
        return bytes(self._names[path].data)

    def open(self, path: Path, *, new: bool = False) -> int:
        if new:
            self._step()
            self._name(path, _File())
        self._next += 1
        self._open[self._next] = self._names[path]
        return self._next

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        self._locks.pop(descriptor, None)

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor].data)

    def allocate(self, descriptor: int, n_bytes: int) -> None:
        self._step()
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        data = self._open[descriptor].data
        data.extend(bytes(max(0, n_bytes - len(data))))

    def write_at(self, descriptor: int, data: bytes, offset: int) -> None:
        file = self._open[descriptor]
        if self.full:
            data = data[: self._world.random.randrange(len(data) + 1)]
        if self._step():
            data = data[: self._world.random.randrange(len(data) + 1)]
        file.data[len(file.data) : offset] = bytes(max(0, offset - len(file.data)))
        file.data[offset : offset + len(data)] = data
        file.unsynced.append((offset, bytes(data)))
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def truncate(self, descriptor: int, n_bytes: int) -> None:
        if not self._step():
            del self._open[descriptor].data[n_bytes:]
            self._open[descriptor].unsynced.append((n_bytes, b""))

    def sync_data(self, descriptor: int) -> None:
        self.sync(descriptor)

    def sync(self, descriptor: int) -> None:
        if self._step():
            return
        file = self._open[descriptor]
        if self.failing_syncs:
            # The kernel marks the pages clean all the same: what was not written is lost to the disk alone.
            self.failing_syncs -= 1
            file.unsynced = [one for one in file.unsynced if self._world.random.random() < 0.5]
            raise OSError(errno.EIO, "Input/output error")
        file.durable, file.unsynced = bytes(file.data), []

    def sync_folder(self, folder: Path) -> None:
        if self._step():
            return
        for path, file in self._name_changes:
            _rename(self._durable_names, path, file)
        self._name_changes.clear()

    def forget_cached(self, descriptor: int) -> None:
        file = self._open[descriptor]
        data = bytearray(file.durable)
        for offset, written in file.unsynced:
            data[len(data) : offset] = bytes(max(0, offset - len(data)))
            data[offset : offset + len(written)] = written
        file.data = data

    def rename(self, path: Path, to: Path) -> None:
        if not self._step():
            file = self._names[path]
            self._name(path, None)
            self._name(to, file)

    def remove(self, path: Path) -> None:
        if not self._step():
            self._name(path, None)

    def _name(self, path: Path, file: _File | None) -> None:
        _rename(self._names, path, file)
        self._name_changes.append((path, file))

    def _step(self) -> bool:
        """Count a call; True when the process is dead, now or before, and its call comes to nothing or to half."""
        self.n_calls += 1
        if self.crash_at is not None and self.n_calls >= self.crash_at and self._owner is not None:
            self.crash_at = None
            self._owner.kill()
        return self._owner is not None and self._owner.dead


def _rename(names: dict[Path, _File], path: Path, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file
