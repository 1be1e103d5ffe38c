"""Reading at a pace: a source whose every read waits until a guest may have it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from ..config.hours import parse_hours
from ..config.import_settings import GuestSettings
from .pace import MIB, UNLIMITED, BackOff, TokenBucket, Traffic
from .pace_kept import KeptRate
from .pace_looks import WatchApart, look_together
from .pace_priority import stand_back
from .pace_traffic import TrafficWatch
from .repository import OpenSource, SmallFileReader, SourceFile, SourceReader, never

LOOK_EVERY_S = 0.25
REST_S = 10.0
"""A look over a longer time does not say of now what it says of the whole."""
MOST_EXPECTED = 16
"""Sources that are looked at before they are read, the latest; as many as settle at the same time."""
FILE_BYTES = 6 << 10
"""What a file takes on the disk beside its bytes: a last block that is not full, its inode and its name, and those two
once more in the file system's journal. Of many small files it is most, and it must not be taken for somebody else's."""
_NAP_S = 0.25


def _now() -> datetime:
    return datetime.now().astimezone()


class Pace:
    """What all imports of one mesh may read together; it outlives them, and so knows how fast they can be."""

    def __init__(
        self,
        settings: GuestSettings,
        repository: Path,
        *,
        free_rate: float = 0.0,
        kept: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = _now,
        sleep: Callable[[float], None] = time.sleep,
        watch: Callable[[Path, Path], TrafficWatch] = TrafficWatch,
    ) -> None:
        """Pace by ``settings``; ``repository`` is a folder on the disk to which imports are written.

        ``free_rate`` is what was reached with nobody else writing, in bytes a second; 0 is not known: then it is what
        an earlier life has left in the file ``kept``, where there is one.

        Raises:
            ConfigError: the hours are not written as they should be.
        """
        self._settings = settings
        self._repository = repository
        self._hours = parse_hours(settings.hours, settings.weekdays)
        self._clock, self._wall_clock, self._sleep = clock, wall_clock, sleep
        self._limit = settings.limit_mib_s * MIB or UNLIMITED
        self._make_watch = watch
        self._kept = KeptRate(kept) if kept is not None else None
        if self._kept is not None and not free_rate:
            free_rate = self._kept.rate
        self._back_off = BackOff(free_rate=free_rate, least_share=settings.least_share)
        self._bucket = TokenBucket(min(self._limit, self._back_off.rate) if settings.back_off else self._limit)
        self._watches: dict[Path, WatchApart] = {}
        self._readers: dict[Path, set[str]] = {}
        self._expected: dict[Path, WatchApart] = {}
        self._looked_s = clock()
        self._own_bytes = self._own_files = self._seen_bytes = self._sent_bytes = 0
        self._taking = threading.Lock()
        self._looking = threading.Lock()
        self._lowered = threading.local()

    @property
    def rate(self) -> float:
        """The bytes a second allowed now; infinite without a limit."""
        return self._bucket.rate

    @property
    def yields(self) -> bool:
        """Whether somebody else writes and is made way for."""
        return self._back_off.yields

    def closed(self) -> str:
        """Why nothing is read at this hour, for people; empty when sources may be read."""
        return self._hours.why(self._wall_clock())

    def closed_s(self, since_unix_s: float) -> float:
        """For how many seconds since then sources could not be read, by the timetable."""
        now = self._wall_clock()
        since = min(now, datetime.fromtimestamp(since_unix_s, now.tzinfo))
        return (now - since).total_seconds() - self._hours.open_s(since, now)

    def why(self) -> str:
        """Why imports read slowly, or not at all, for people; empty when they are free."""
        waits = self.closed()
        if waits:
            return waits
        if self._back_off.yields:
            return f"making way for somebody else who writes: reading {self.rate / MIB:,.0f} MiB/s"
        return ""

    def expect(self, source: Path) -> None:
        """Look who writes to the disk of a source that is to be read soon: its first bytes then have the right rate."""
        if not self._settings.back_off:
            return
        watch = self._watch_of(source)
        with self._taking:
            if source not in self._watches:
                # Put last, so that the first is the one that was not asked about for longest.
                self._expected.pop(source, None)
                self._expected[source] = watch
                if len(self._expected) > MOST_EXPECTED:
                    del self._expected[next(iter(self._expected))]
        self._look_in_turn(self._clock())

    def reader(
        self,
        inner: SourceReader,
        source: Path | None,
        *,
        cancelled: Callable[[], bool] = never,
        import_id: str = "",
        writes: bool = True,
        in_hours: bool = True,
    ) -> PacedReader:
        """A reader at this pace; ``source`` is the folder on this host that it reads from, if it is one.

        Its disk is looked at until each ``import_id`` that has read from it is forgotten, however often it has.

        One that is not ``in_hours`` waits for none: whoever asks for bytes is told that by himself.

        ``writes`` says whether what is read is written to the repository. ``cancelled`` ends every wait: the read goes
        on at once, so that the transfer sees to its own end.
        """
        folder = source or self._repository
        watch = self._watch_of(folder)
        with self._taking:
            self._expected.pop(folder, None)
            self._watches.setdefault(folder, watch)
            if source is not None:
                self._readers.setdefault(source, set()).add(import_id)
        return PacedReader(inner, self, cancelled, writes=writes, in_hours=in_hours)

    def _watch_of(self, folder: Path) -> WatchApart:
        with self._taking:
            known = self._watches.get(folder) or self._expected.get(folder)
        # Not while others wait to count their bytes: a drive that hangs holds up whoever makes its watch.
        return known or WatchApart(self._make_watch(folder, self._repository), self._own_on_disk)

    def _own_on_disk(self) -> int:
        with self._taking:
            return self._own_bytes + self._own_files * FILE_BYTES

    def forget(self, source: Path, import_id: str = "") -> None:
        """Look no longer at the disk of a source whose import is over, or was given up before it was read.

        As long as another import reads from the same folder, as of its loose files, it is looked at for that one.
        """
        with self._taking:
            readers = self._readers.get(source, set())
            readers.discard(import_id)
            if readers:
                return
            self._readers.pop(source, None)
            self._watches.pop(source, None)
            self._expected.pop(source, None)

    def lower_thread(self) -> None:
        """Have the calling thread stand back, once."""
        if not getattr(self._lowered, "done", False):
            self._lowered.done = True
            stand_back(self._settings.nice, self._settings.io_class)

    def take(self, n_bytes: int, cancelled: Callable[[], bool], *, writes: bool = True) -> None:
        """Count bytes that were read, and wait until more may be.

        ``writes`` says whether they are written to the repository as well, as a verification's are not: what fills
        the disk then is somebody else's.
        """
        if writes:
            with self._taking:
                self._own_bytes += n_bytes
        self._look_in_turn(self._clock())
        with self._taking:
            # The clock is asked once more: another thread may have put the rate up meanwhile.
            wait_s = self._bucket.take(n_bytes, self._clock())
        if wait_s:
            self._wait(wait_s, cancelled)

    def count_files(self, n_files: int) -> None:
        """Count files, each of which takes some of the repository's disk however few bytes it has."""
        with self._taking:
            self._own_files += n_files

    def count_sent(self, n_bytes: int) -> None:
        """Count bytes that were read here and are written elsewhere: how fast they pass is known by that alone."""
        with self._taking:
            self._sent_bytes += n_bytes

    def wait_for_hours(self, cancelled: Callable[[], bool]) -> None:
        """Wait until the timetable lets sources be read."""
        while not self._hours.always_open and not cancelled() and not self._hours.is_open(now := self._wall_clock()):
            # In naps: a cancellation is to be seen, and the clock may be put forward.
            self._sleep(min(_NAP_S, (self._hours.opens_at(now) - now).total_seconds()))

    def _wait(self, wait_s: float, cancelled: Callable[[], bool]) -> None:
        until_s = self._clock() + wait_s
        while (left_s := until_s - self._clock()) > 0 and not cancelled():
            self._sleep(min(_NAP_S, left_s))
            # Who waits looks as well: one read may be long at a rate that is over by then.
            self._look_in_turn(self._clock())
            with self._taking:
                now_s = self._clock()
                until_s = min(until_s, now_s + self._bucket.take(0, now_s))

    def _look_in_turn(self, now_s: float) -> None:
        if not self._settings.back_off or now_s - self._looked_s < LOOK_EVERY_S:
            return
        # One thread looks, and the others go on: it may be waiting for a disk, though never for long.
        if self._looking.acquire(blocking=False):
            try:
                self._look(self._clock())
            finally:
                self._looking.release()

    def _look(self, now_s: float) -> None:
        duration_s = now_s - self._looked_s
        if duration_s < LOOK_EVERY_S:
            return
        home = self._watch_of(self._repository)
        with self._taking:
            self._watches.setdefault(self._repository, home)
            watches = (*self._watches.values(), *self._expected.values())
            own_bytes = self._own_bytes - self._seen_bytes
            self._seen_bytes, self._looked_s = self._own_bytes, now_s
            sent_bytes, self._sent_bytes = self._sent_bytes, 0
        looked = look_together(watches, duration_s)
        if not looked:
            # Not one disk answers: nobody knows better than at the last look.
            return
        passed = [(watch, one._replace(own_bytes=own_bytes, sent_bytes=sent_bytes)) for watch, one in looked]
        rate = self._decided(passed)
        with self._taking:
            self._bucket.set_rate(min(self._limit, rate), self._clock())
        if self._kept is not None:
            self._kept.keep(self._back_off.seen_rate, now_s)

    def _decided(self, seen: Sequence[tuple[WatchApart, Traffic]]) -> float:
        known = frozenset[int]().union(*(watch.devices for watch, one in seen if one.duration_s))
        if not all(watch.devices <= known for watch, _ in seen):
            # A disk that is looked at for the first time: nobody knows yet who writes there.
            return self._back_off.least_rate
        most = max((one for _, one in seen), key=lambda one: one.foreign_bytes)
        return self._back_off.step(most) if most.duration_s < REST_S else self._back_off.rest(most)


class PacedReader:
    """Opens the files of a source so that they are read at a pace."""

    def __init__(
        self,
        inner: SourceReader,
        pace: Pace,
        cancelled: Callable[[], bool],
        *,
        writes: bool = True,
        in_hours: bool = True,
    ) -> None:
        self._inner = inner
        self._pace = pace
        self._cancelled = cancelled
        self._writes = writes
        self._in_hours = in_hours

    def open(self, path: str) -> OpenSource:
        """Open a file once the timetable lets it be read; the calling thread stands back from then on.

        Raises:
            MeshError: what the reader inside says.
        """
        self._pace.lower_thread()
        if self._in_hours:
            self._pace.wait_for_hours(self._cancelled)
        if self._writes:
            self._pace.count_files(1)
        opened = self._inner.open(path)
        return _PacedFile(opened, self._pace, self._cancelled, writes=self._writes, in_hours=self._in_hours)

    def read_small(self, files: Sequence[SourceFile]) -> list[bytes | None]:
        """Read small files whole, all of them at one step of the pace; none where the reader inside cannot."""
        if not isinstance(self._inner, SmallFileReader):
            return [None] * len(files)
        self._pace.lower_thread()
        self._pace.wait_for_hours(self._cancelled)
        contents = self._inner.read_small(files)
        found = [content for content in contents if content is not None]
        if self._writes:
            self._pace.count_files(len(found))
        self._pace.take(sum(map(len, found)), self._cancelled, writes=self._writes)
        return contents


class _PacedFile:
    """One file, read at a pace."""

    def __init__(
        self, inner: OpenSource, pace: Pace, cancelled: Callable[[], bool], *, writes: bool, in_hours: bool
    ) -> None:
        self._inner = inner
        self._pace = pace
        self._cancelled = cancelled
        self._writes = writes
        self._in_hours = in_hours
        self.name = inner.name

    def read_into(self, buffer: memoryview) -> int:
        # Another thread may read it than the one that opened it.
        self._pace.lower_thread()
        if self._in_hours:
            # Here too: the hours may end within a file, and a large one is read for hours itself.
            self._pace.wait_for_hours(self._cancelled)
        # Never less than was asked for: a transfer that resumes compares as much as it reads.
        n = self._inner.read_into(buffer)
        self._pace.take(n, self._cancelled, writes=self._writes)
        return n

    def seek(self, offset: int) -> None:
        self._inner.seek(offset)

    def look(self) -> SourceFile:
        return self._inner.look()

    def close(self) -> None:
        self._inner.close()
