"""A source that is read at a pace: real files, with a clock that the test moves."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.plates.local import ChecksumMismatch, FolderReader, LocalRepository
from hcs_mesh.plates.pace import MIB, UNLIMITED, Traffic
from hcs_mesh.plates.pace_priority import stand_back
from hcs_mesh.plates.pace_reader import FILE_BYTES, Pace
from hcs_mesh.plates.pace_traffic import TrafficWatch
from hcs_mesh.plates.repository import SourceFile

N_BYTES = 8 * MIB


class World:
    """A clock that goes on only while somebody waits, and a disk on which the test says what is written."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.today = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.foreign_rate = 0.0

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s
        self.today += timedelta(seconds=wait_s)

    def watch(self, source: Path, repository: Path) -> TrafficWatch:
        world = self

        class Watch(TrafficWatch):
            def look(self, duration_s: float, own_bytes: int) -> Traffic:
                return Traffic(duration_s, world.foreign_rate * duration_s, own_bytes, 5.0)

        return Watch(source, repository)

    def pace(self, settings: GuestSettings, folder: Path, free_rate: float = 0.0) -> Pace:
        return Pace(
            settings,
            folder,
            free_rate=free_rate,
            clock=lambda: self.now_s,
            wall_clock=lambda: self.today,
            sleep=self.sleep,
            watch=self.watch,
        )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "plate"
    folder.mkdir()
    (folder / "A01.tif").write_bytes(os.urandom(N_BYTES))
    return folder


def read(pace: Pace, source: Path) -> bytes:
    """All bytes, as a thread of its own reads them: what is lowered stays so."""
    found: list[bytes] = []

    def work() -> None:
        buffer = bytearray(MIB)
        with closing(pace.reader(FolderReader(source), source).open("A01.tif")) as opened:
            while n := opened.read_into(memoryview(buffer)):
                found.append(bytes(buffer[:n]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return b"".join(found)


def test_a_limit_is_kept_and_the_bytes_stay_what_they_are(source: Path) -> None:
    world = World()
    pace = world.pace(GuestSettings(limit_mib_s=2.0, back_off=False), source)
    assert read(pace, source) == (source / "A01.tif").read_bytes()
    assert world.now_s - 100.0 == pytest.approx(N_BYTES / MIB / 2.0, rel=0.05)


def test_many_small_files_are_read_at_the_pace_too_and_counted_each(tmp_path: Path) -> None:
    world = World()
    files: list[SourceFile] = []
    for n in range(256):
        (tmp_path / f"{n}.tif").write_bytes(bytes([n]) * (32 << 10))
        seen = (tmp_path / f"{n}.tif").stat()
        files.append(SourceFile(path=f"{n}.tif", size=32 << 10, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino))
    on_disk: list[int] = []

    class Noting(TrafficWatch):
        def look(self, duration_s: float, own_bytes: int) -> Traffic:
            on_disk.append(own_bytes)
            return Traffic(duration_s, 0.0, own_bytes, 5.0)

    pace = Pace(
        # The thread of the tests does not stand back.
        GuestSettings(nice=0, io_class="none", limit_mib_s=2.0, hours="18:00-07:00"),
        tmp_path,
        clock=lambda: world.now_s,
        wall_clock=lambda: world.today,
        sleep=world.sleep,
        watch=Noting,
    )
    reader = pace.reader(FolderReader(tmp_path), tmp_path)
    for n in range(0, 256, 32):
        assert reader.read_small(files[n : n + 32]) == [bytes([one]) * (32 << 10) for one in range(n, n + 32)]
    assert world.today.hour == 18
    assert world.now_s - 100.0 - 6 * 3600.0 == pytest.approx(4.0, rel=0.3)
    world.now_s += 1.0
    pace.take(0, lambda: False)
    assert sum(on_disk) == 256 * ((32 << 10) + FILE_BYTES)


def test_a_transfer_takes_over_what_is_read_at_a_pace(source: Path, tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "data")
    pace = World().pace(GuestSettings(limit_mib_s=50.0), source)
    reader = pace.reader(FolderReader(source), source)
    (stored,) = repository.transfer("import-0001", reader, [SourceFile(path="A01.tif", size=N_BYTES)])
    repository.verify("import-0001", [stored])
    repository.close()


def test_while_somebody_else_writes_a_share_is_read_and_it_is_told(source: Path) -> None:
    world = World()
    world.foreign_rate = 80.0 * MIB
    pace = world.pace(GuestSettings(), source, free_rate=16.0 * MIB)
    read(pace, source)
    assert 0.22 * 16 * MIB <= pace.rate <= 8 * MIB
    assert pace.yields
    assert pace.why().startswith("making way for somebody else who writes: reading")


def test_without_back_off_nothing_is_made_way_for(source: Path) -> None:
    world = World()
    world.foreign_rate = 80.0 * MIB
    pace = world.pace(GuestSettings(back_off=False), source)
    read(pace, source)
    assert (pace.rate, pace.why()) == (UNLIMITED, "")


def test_an_import_waits_for_its_hours_and_says_so(source: Path) -> None:
    world = World()
    world.today += timedelta(hours=5, minutes=59)
    pace = world.pace(GuestSettings(hours="18:00-07:00", back_off=False), source)
    assert "from 18:00" in pace.why()
    read(pace, source)
    assert world.today.hour == 18
    assert pace.why() == ""


def test_a_file_that_was_begun_in_the_hours_is_not_read_on_outside_of_them(source: Path) -> None:
    world = World()
    world.today = datetime(2026, 11, 21, 6, 59, tzinfo=UTC)
    # The thread of the tests does not stand back.
    settings = GuestSettings(nice=0, io_class="none", hours="18:00-07:00", back_off=False)
    buffer = memoryview(bytearray(MIB))
    pace = world.pace(settings, source)
    with closing(pace.reader(FolderReader(source), source).open("A01.tif")) as opened:
        assert opened.read_into(buffer) == MIB
        world.today = datetime(2026, 11, 21, 12, tzinfo=UTC)
        assert opened.read_into(buffer) == MIB
    assert world.today.hour == 18


def test_what_was_reached_with_nobody_else_writing_is_known_to_the_next_life(source: Path, tmp_path: Path) -> None:
    kept = tmp_path / "guest-rate"

    def life(world: World) -> Pace:
        return Pace(
            GuestSettings(nice=0, io_class="none"),
            source,
            kept=kept,
            clock=lambda: world.now_s,
            wall_clock=lambda: world.today,
            sleep=world.sleep,
            watch=world.watch,
        )

    world = World()
    pace = life(world)
    pace.reader(FolderReader(source), source)
    for _ in range(20):
        world.now_s += 0.5
        pace.take(200 * MIB, lambda: False)
    assert pace.rate == UNLIMITED
    next_world = World()
    next_world.foreign_rate = 80.0 * MIB
    pace = life(next_world)
    assert pace.rate == pytest.approx(0.22 * 400 * MIB, rel=0.05)
    kept.write_text("nonsense")
    assert life(next_world).rate == pytest.approx(0.22 * 128 * MIB)


def test_a_cancelled_import_waits_for_nothing(source: Path) -> None:
    world = World()
    pace = world.pace(GuestSettings(hours="18:00-07:00", limit_mib_s=0.001, back_off=False), source)
    reader = pace.reader(FolderReader(source), source, cancelled=lambda: True)
    done: list[int] = []

    def work() -> None:
        with closing(reader.open("A01.tif")) as opened:
            done.append(opened.read_into(memoryview(bytearray(MIB))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (done, world.now_s) == ([MIB], 100.0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="priorities belong to threads on Linux alone")
def test_only_the_thread_that_copies_stands_back() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    nice: list[int] = []

    def work() -> None:
        stand_back(15, "idle")
        nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert nice == [15]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on which nobody else writes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("root")
def test_what_others_write_is_told_from_what_we_write_ourselves(disk: Path) -> None:
    watch = TrafficWatch(disk, disk)
    watch.look(1.0, 0)
    (disk / "ours").write_bytes(bytes(8 * MIB))
    assert watch.look(1.0, 8 * MIB).foreign_bytes < 64 << 10
    (disk / "theirs").write_bytes(bytes(4 * MIB))
    assert watch.look(1.0, 0).foreign_bytes == pytest.approx(4 * MIB, rel=0.05)
    assert watch.look(1.0, 0).foreign_bytes == 0


def test_a_folder_that_is_not_there_any_more_tells_nothing(tmp_path: Path) -> None:
    watch = TrafficWatch(tmp_path / "gone", tmp_path / "gone too")
    assert watch.look(1.0, 5).foreign_bytes == 0


def test_a_drive_that_hangs_holds_up_nobody_but_who_reads_from_it(source: Path) -> None:
    world, hanging, go_on = World(), threading.Event(), threading.Event()

    class Hanging(TrafficWatch):
        def look(self, duration_s: float, own_bytes: int) -> Traffic:
            hanging.set()
            go_on.wait()
            return Traffic(duration_s, 0.0, own_bytes)

    pace = Pace(
        GuestSettings(),
        source,
        clock=lambda: world.now_s,
        wall_clock=lambda: world.today,
        sleep=world.sleep,
        watch=Hanging,
    )
    first = threading.Thread(target=read, args=(pace, source))
    first.start()
    assert hanging.wait(45)
    assert len(read(pace, source)) == N_BYTES
    go_on.set()
    first.join()


def test_bytes_that_are_read_and_not_written_do_not_hide_who_else_writes(source: Path) -> None:
    world = World()
    own: list[int] = []

    class Noting(TrafficWatch):
        def look(self, duration_s: float, own_bytes: int) -> Traffic:
            own.append(own_bytes)
            return Traffic(duration_s, 0.0, own_bytes)

    pace = Pace(GuestSettings(), source, clock=lambda: world.now_s, sleep=world.sleep, watch=Noting)
    pace.reader(FolderReader(source), source)
    for _ in range(2):
        world.now_s += 1.0
        pace.take(MIB, lambda: False, writes=False)
    assert own == [0, 0]


def test_files_in_place_are_hashed_at_the_pace_and_not_taken_for_what_is_written(source: Path, tmp_path: Path) -> None:
    world = World()
    own: list[int] = []

    class Noting(TrafficWatch):
        def look(self, duration_s: float, own_bytes: int) -> Traffic:
            own.append(own_bytes)
            return Traffic(duration_s, 0.0, own_bytes, 5.0)

    pace = Pace(
        # The thread of the tests does not stand back.
        GuestSettings(nice=0, io_class="none", limit_mib_s=2.0, hours="18:00-07:00"),
        source,
        clock=lambda: world.now_s,
        wall_clock=lambda: world.today,
        sleep=world.sleep,
        watch=Noting,
    )
    repository = LocalRepository(tmp_path / "data")
    reader = pace.reader(FolderReader(source), source, writes=False)
    (stored,) = repository.adopt("i1", source, [SourceFile(path="A01.tif", size=N_BYTES)], reader=reader)
    assert stored.size == N_BYTES
    assert world.today.hour == 18
    assert world.now_s - 100.0 - 6 * 3600.0 >= 0.9 * N_BYTES / MIB / 2.0
    assert own
    assert set(own) == {0}
    repository.close()


def test_the_verification_asks_before_it_opens_what_lies_in_place(source: Path, tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "data")
    for name in ("small", "smaller"):
        (source / f"{name}.xml").write_text(name)
    files = [SourceFile(path=path.name, size=path.stat().st_size) for path in source.iterdir()]
    linked, copied = repository.adopt("i1", source, files), repository.transfer("i2", FolderReader(source), files)
    asked: list[str] = []
    repository.verify("i2", copied, on_linked=lambda: asked.append("copied"))
    assert asked == []

    def take_away() -> None:
        (source / "small.xml").unlink(missing_ok=True)

    # Asked before the file is opened, or it would have been found as it was.
    with pytest.raises(ChecksumMismatch, match=r"small\.xml .* no longer there"):
        repository.verify("i1", linked, on_linked=take_away)
    repository.close()


def test_an_import_that_rested_is_free_as_soon_as_it_is_seen_that_nobody_writes(source: Path) -> None:
    """Many small files leave a low free rate: one read at a share of it lasts longer than a look is good for."""
    world = World()
    pace = world.pace(GuestSettings(), source, free_rate=0.25 * MIB)
    world.now_s += 600.0
    assert len(read(pace, source)) == N_BYTES
    assert world.now_s - 700.0 < 2.0
    assert pace.rate == UNLIMITED


@pytest.mark.needs("root")
def test_what_small_files_take_beside_their_bytes_is_not_taken_for_somebody_elses(disk: Path) -> None:
    world = World()
    (disk / "plate").mkdir()
    (disk / "plate" / "A01.tif").write_bytes(b"II*\0")
    # The thread of the tests does not stand back: it would for all that follow.
    settings = GuestSettings(nice=0, io_class="none")
    pace = Pace(settings, disk, clock=lambda: world.now_s, sleep=world.sleep)
    reader = pace.reader(FolderReader(disk / "plate"), disk / "plate")
    buffer = memoryview(bytearray(8))
    for n in range(2000):
        with closing(reader.open("A01.tif")) as opened:
            (disk / f"{n}.tif").write_bytes(buffer[: opened.read_into(buffer)])
        world.now_s += 0.001
    assert not pace.yields
    (disk / "theirs").write_bytes(bytes(16 * MIB))
    world.now_s += 0.25
    pace.take(0, lambda: False)
    assert pace.yields
