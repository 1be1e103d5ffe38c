"""The eye on a watched folder: finds out as little of the disk as a look needs; every call blocks."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator

from ...config.watch_settings import WatchSettings
from ...plates.devices import file_system_of
from ...plates.errors import BadSourceName, PatternError
from ...plates.exclusion import Exclusion
from ...plates.folder_marks import folder_mark
from ...plates.permissions import within
from ...plates.planners.plain_fileset import companions
from ...plates.source_names import LAST_NS, check_source_name
from .sight import Mark, Seen, Sight, Wish, seen

COST = 300
"""Looks at what was handed over rest for as many times as long as they took: a third of a percent of one core."""

TICK_NS = 2_000_000_000
"""Within one tick of a disk's clock, 2 s on some, more may come under the same time."""

OWN_TIMES = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs"})
"""File systems of one host, whose folders' times change with every name; those of a network may lag, or never do."""

TRUE_BIRTHS = OWN_TIMES | {"nfs", "nfs4"}
"""File systems that keep when a folder was made; Samba may tell its oldest time instead, which a new file changes."""

NO_ACQUISITIONS = frozenset({"System Volume Information", "lost+found", "Thumbs.db", "desktop.ini"})


class MountAway(Exception):
    """The folder cannot be looked at; the text says why."""


class WatchEye:
    """Looks at one watched folder, and remembers what it need not look at again."""

    def __init__(self, settings: WatchSettings, data: str = "") -> None:
        """Look at the folder of these settings; what leads into the ``data`` folder is not looked at."""
        self._settings = settings
        self._data = data
        self._folder = settings.path.rstrip(os.sep) or os.sep
        try:
            self._exclusion = Exclusion(settings.exclude)
            self._refusal = ""
        except PatternError as error:
            self._exclusion, self._refusal = Exclusion(), f"{error}"
        self._at: tuple[int, int, int] | None = None
        self._times_tell = False
        self._file_system = -1, ""
        self._listed: int | None = None
        self._names: frozenset[str] = frozenset()
        self._folders: tuple[str, ...] = ()
        self._files: frozenset[str] = frozenset()
        self._rest_of: tuple[object, object] = (None, None)
        self._rest: tuple[str, ...] = ()
        self._trouble: dict[str, str] = {}
        self._times: dict[str, dict[str, int]] = {}
        self._unsure: set[str] = set()
        self._full_at_s = self._known_at_s = self._deep_at_s = float("-inf")

    def look(self, wish: Wish, now_s: float) -> Sight:
        """Find out what is wished for, at ``now_s`` of a clock that only goes on."""
        if self._refusal:
            return Sight(missing=self._refusal)
        if self._listed is None and self._data and within(os.path.realpath(self._folder), os.path.realpath(self._data)):
            return Sight(missing="it leads into the mesh's own data folder")
        try:
            self._check_mount()
            self._list(full=now_s >= self._full_at_s, deep=now_s >= self._deep_at_s)
            if now_s >= self._full_at_s:
                self._full_at_s = now_s + self._settings.full_look_s
            units, trouble = self._units(wish, now_s)
            loose = self._loose(wish, deep=now_s >= self._deep_at_s)
            if now_s >= self._deep_at_s:
                began_s = time.thread_time()
                units.update(self._handed_over_deep(wish))
                self._deep_at_s = now_s + max(self._settings.deep_look_s, COST * (time.thread_time() - began_s))
            # Once more: what was read while the mount went away means nothing.
            self._check_mount()
        except MountAway as error:
            self._at = self._listed = None
            return Sight(missing=str(error))
        return Sight(names=self._names, units=units, loose=loose, trouble={**self._trouble, **trouble})

    def _check_mount(self) -> None:
        path = os.path.join(self._folder, self._settings.sentinel) if self._settings.sentinel else self._folder  # noqa: PTH118
        try:
            os.stat(path)  # noqa: PTH116 - one of many thousand
        except FileNotFoundError as error:
            if self._settings.sentinel:
                raise MountAway(f"the sentinel {self._settings.sentinel} is not there: is it mounted?") from error
            raise MountAway("the folder is not there") from error
        except OSError as error:
            raise MountAway(f"it cannot be looked at: {error.strerror}") from error

    def _list(self, *, full: bool, deep: bool) -> None:
        """Read the names, if the folder's time or the kind of look says so, and sort them if they are others."""
        try:
            seen_s, status = time.time_ns(), os.stat(self._folder)  # noqa: PTH116
            at = status.st_dev, status.st_ino, status.st_mtime_ns
            # To read ten thousand names costs more than all else that an idle mesh does.
            trusts_times = not full or (self._times_tell and not deep)
            if at == self._at and trusts_times and self._listed is not None:
                return
            listed = hash(frozenset(os.listdir(self._folder)))  # noqa: PTH208
            self._times_tell = seen_s - status.st_mtime_ns > TICK_NS and self._kind(status.st_dev) in OWN_TIMES
            if listed == self._listed:
                self._at = at
                return
            names: set[str] = set()
            self._trouble = {}
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if self._counts(entry.name):
                        is_folder = entry.is_dir(follow_symlinks=False)
                        # A link at the top could lead to what whoever laid it may not see and this process may.
                        if is_folder or entry.is_file(follow_symlinks=False):
                            names.add(f"{entry.name}/" if is_folder else entry.name)
        except OSError as error:
            raise MountAway(f"it cannot be listed: {error.strerror}") from error
        self._names, self._listed, self._at = frozenset(names), listed, at
        beside = {f"{one}/" for name in names for one in companions(name)}
        self._folders = tuple(sorted(name for name in names if name.endswith("/") and name not in beside))
        self._files = frozenset(name for name in names if not name.endswith("/"))

    def _kind(self, device: int) -> str:
        """The kind of file system that the folder lies on."""
        if self._file_system[0] != device:
            self._file_system = device, file_system_of(self._folder, device)
        return self._file_system[1]

    def _counts(self, name: str) -> bool:
        # What systems, shells and this mesh itself keep beside the data.
        if name[0] in ".$" or name in NO_ACQUISITIONS or name == self._settings.sentinel:
            return False
        try:
            check_source_name(name)
        except BadSourceName as error:
            self._trouble[ascii(name)] = str(error)
            return False
        return name not in self._exclusion

    def _units(self, wish: Wish, now_s: float) -> tuple[dict[str, Seen], dict[str, str]]:
        """The folders: new ones closely, known ones where a folder's time in them has changed."""
        close = [name for name in self._folders if name not in wish.folders or name in wish.restless]
        found: dict[str, Seen] = {}
        trouble: dict[str, str] = {}
        if now_s >= self._known_at_s:
            began_s = time.thread_time()
            close += [
                name for name in self._folders if name in wish.folders and name not in close and self._moved(name)
            ]
            self._known_at_s = now_s + max(self._settings.full_look_s, COST * (time.thread_time() - began_s))
        for name in close:
            try:
                found[name] = self._scan(name)
            except FileNotFoundError:
                continue  # It went while it was looked at: the next listing says so.
            except BadSourceName as error:
                trouble[name] = str(error)
            except OSError as error:
                trouble[name] = f"it cannot be looked at: {error.strerror}"
        for unit in [unit for unit in self._times if unit not in self._names]:
            del self._times[unit]
            self._unsure.discard(unit)
        found.update((unit, self._seen_loose(wish.loose[unit])) for unit in wish.restless if unit in wish.loose)
        return found, trouble

    def _moved(self, unit: str) -> bool:
        """Whether something came or went in the unit's folders since they were scanned, by their times."""
        times = self._times.get(unit)
        if times is None or unit in self._unsure:
            return True
        try:
            return any(os.stat(folder).st_mtime_ns != mtime_ns for folder, mtime_ns in times.items())  # noqa: PTH116
        except OSError:
            return True

    def _scan(self, unit: str) -> Seen:
        """Names and sizes of all the unit's files, and which folder has them."""
        folder, times = os.path.join(self._folder, unit[:-1]), dict[str, int]()  # noqa: PTH118
        mark = self._mark(folder)
        files = list(self._walk(folder, "", times))
        if self._mark(folder) != mark:
            # The files of one under the mark of the other would be taken for touched, and never for new.
            raise OSError(errno.ESTALE, "it became another folder meanwhile", folder)
        # One that no clock has is no time; that it cannot be imported so, the import says.
        newest_ns = max((mtime_ns for *_, mtime_ns in files if abs(mtime_ns) <= LAST_NS), default=0)
        result = seen((name, size) for name, size, _ in files)._replace(newest_ns=newest_ns, mark=mark)
        # Within one tick of the disk's clock (2 s on some) more may come under the same time: once more, then.
        (self._unsure.discard if self._times.get(unit) == times else self._unsure.add)(unit)
        self._times[unit] = times
        return result

    def _mark(self, folder: str) -> Mark:
        inode, born_ns = folder_mark(folder)
        is_true = self._at is not None and self._kind(self._at[0]) in TRUE_BIRTHS
        return Mark(inode, born_ns if is_true else 0)

    def _walk(self, folder: str, above: str, times: dict[str, int]) -> Iterator[tuple[str, int, int]]:
        # The time first: what comes while it is listed changes it once more.
        times[folder] = os.stat(folder).st_mtime_ns  # noqa: PTH116
        below: list[tuple[str, str]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                path = above + entry.name
                check_source_name(path)
                if path in self._exclusion:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append((entry.path, f"{path}/"))
                elif entry.is_file():
                    status = entry.stat()
                    yield path, status.st_size, status.st_mtime_ns
        for path, prefix in below:
            yield from self._walk(path, prefix, times)

    def _loose(self, wish: Wish, *, deep: bool) -> dict[str, int]:
        """The sizes of the loose files that no unit has."""
        if self._rest_of[0] is not self._names or self._rest_of[1] is not wish:
            self._rest_of, self._rest = (self._names, wish), tuple(self._files - wish.taken)
        sizes = {name: self._size(name) for name in self._rest if deep or name not in wish.aside}
        return {name: size for name, size in sizes.items() if size is not None}

    def _handed_over_deep(self, wish: Wish) -> dict[str, Seen]:
        """Every file of what was handed over."""
        found = {unit: self._seen_loose(names) for unit, names in wish.loose.items()}
        for unit in wish.folders & self._names:
            try:
                found[unit] = self._scan(unit)
            except (OSError, BadSourceName):
                continue  # The look at the folders tells of it.
        return found

    def _seen_loose(self, names: tuple[str, ...]) -> Seen:
        sizes = ((name, self._size(name)) for name in names if name in self._names)
        return seen((name, size) for name, size in sizes if size is not None)

    def _size(self, name: str) -> int | None:
        """Bytes of a loose file, with what belongs to a container in a folder beside it; None if it is not there."""
        try:
            size = os.stat(os.path.join(self._folder, name)).st_size  # noqa: PTH116, PTH118
            for one in companions(name):
                if f"{one}/" in self._names:
                    size += sum(size for _, size, _ in self._walk(os.path.join(self._folder, one), "", {}))  # noqa: PTH118
        except (OSError, BadSourceName):
            return None
        return size
