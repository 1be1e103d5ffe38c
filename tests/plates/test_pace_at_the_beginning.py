"""How an import begins: at once as fast as may be where nobody writes, and quietly where somebody does or may."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.plates import pace_looks
from hcs_mesh.plates.local import FolderReader
from hcs_mesh.plates.pace import MIB, UNLIMITED, Traffic
from hcs_mesh.plates.pace_reader import MOST_EXPECTED, Pace
from hcs_mesh.plates.pace_traffic import IN_FLIGHT_BYTES, TrafficWatch

FREE = 64.0 * MIB
N_BYTES = 8 * MIB


@pytest.fixture(autouse=True)
def _every_disk_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these is silent, however long a busy computer stands still within a look."""
    monkeypatch.setattr(pace_looks, "ANSWER_S", 45.0)


class World:
    """A clock that goes on only while somebody waits, and disks on which the test says what others have written."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.written = 0.0
        self.looked_at: list[Path] = []

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def pace(self, repository: Path) -> Pace:
        world = self

        class Watch(TrafficWatch):
            def __init__(self, source: Path, repository: Path) -> None:
                super().__init__(source, repository)
                self.source = source
                self.before: float | None = None

            def look(self, duration_s: float, own_bytes: int) -> Traffic:
                world.looked_at.append(self.source)
                before, self.before = self.before, world.written
                if before is None:
                    return Traffic(0.0, 0.0, own_bytes)
                return Traffic(duration_s, world.written - before, own_bytes, 5.0)

        settings = GuestSettings(nice=0, io_class="none")
        return Pace(settings, repository, free_rate=FREE, clock=lambda: self.now_s, sleep=self.sleep, watch=Watch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "plate"
    folder.mkdir()
    (folder / "A01.tif").write_bytes(os.urandom(N_BYTES))
    return folder


def read_s(world: World, pace: Pace, source: Path) -> float:
    """Seconds of the world's clock in which the plate is read, as by a thread of its own."""
    start_s = world.now_s

    def work() -> None:
        buffer = memoryview(bytearray(MIB))
        with closing(pace.reader(FolderReader(source), source).open("A01.tif")) as opened:
            while opened.read_into(buffer):
                pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return world.now_s - start_s


def settle(world: World, pace: Pace, source: Path) -> None:
    for _ in range(2):
        pace.expect(source)
        world.now_s += 1.0


def test_a_source_that_settled_while_nobody_wrote_is_read_freely_from_its_first_byte(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    world.now_s += 3600.0
    settle(world, pace, source)
    assert read_s(world, pace, source) == 0.0


def test_who_writes_while_a_source_settles_is_made_way_for_from_its_first_byte(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    world.now_s += 3600.0
    pace.expect(source)
    world.now_s += 1.0
    world.written += 80.0 * MIB
    pace.expect(source)
    assert pace.yields
    assert read_s(world, pace, source) >= N_BYTES / FREE


def test_a_source_on_a_disk_that_nobody_has_looked_at_begins_quietly(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    world.now_s += 3600.0
    # A quarter of a second at the least rate, and free from then on.
    assert 0.2 <= read_s(world, pace, source) <= 0.5
    assert pace.rate == UNLIMITED


def test_a_disk_that_nobody_has_looked_at_is_begun_with_care_beside_one_that_is_free(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    settle(world, pace, source)
    pace.take(0, bool)
    assert pace.rate == UNLIMITED
    world.now_s += 1.0
    pace.expect(Path("/proc"))
    assert pace.rate == pytest.approx(0.22 * FREE)
    world.now_s += 1.0
    pace.take(0, bool)
    assert pace.rate == UNLIMITED


def test_the_next_source_on_a_known_disk_begins_freely(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    settle(world, pace, source)
    read_s(world, pace, source)
    pace.forget(source)
    world.now_s += 60.0
    assert read_s(world, pace, source) == 0.0


def test_after_a_rest_in_which_others_wrote_an_import_begins_quietly(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    settle(world, pace, source)
    read_s(world, pace, source)
    world.now_s += 600.0
    world.written += 20.0 * MIB
    assert read_s(world, pace, source) >= 0.2
    assert pace.rate == UNLIMITED
    assert not pace.yields


def test_only_some_of_the_sources_that_are_expected_are_looked_at(source: Path) -> None:
    world = World()
    pace = world.pace(source.parent)
    for n in range(3 * MOST_EXPECTED):
        pace.expect(source / f"{n}")
    world.now_s += 1.0
    world.looked_at.clear()
    pace.expect(source)
    assert source in world.looked_at
    # And the repository's own disk.
    assert len(world.looked_at) <= MOST_EXPECTED + 1
    read_s(world, pace, source)
    pace.forget(source)
    world.looked_at.clear()
    world.now_s += 1.0
    pace.take(0, bool)
    assert source not in world.looked_at


def test_a_folder_is_looked_at_until_the_last_import_that_reads_from_it_is_forgotten(source: Path) -> None:
    # Loose files of one folder are several imports.
    world = World()
    pace = world.pace(source.parent)

    def is_looked_at() -> bool:
        world.looked_at.clear()
        world.now_s += 1.0
        pace.take(0, bool)
        return source in world.looked_at

    def is_made_way_for() -> bool:
        world.written += 80.0 * MIB
        return is_looked_at() and pace.yields

    for import_id in ("import-0001", "import-0002", "import-0002"):
        pace.reader(FolderReader(source), source, import_id=import_id)
    # One that was given up before it was read, and one that was read twice.
    pace.forget(source, "import-0003")
    pace.forget(source, "import-0002")
    assert is_looked_at()
    assert is_made_way_for()
    pace.forget(source, "import-0001")
    assert not is_looked_at()
    pace.expect(source)
    assert is_looked_at()
    pace.forget(source, "import-0003")
    assert not is_looked_at()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, whose bytes reach it late."""
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(96 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("root")
def test_what_was_written_before_and_reaches_the_disk_late_is_not_taken_for_somebody_who_writes(disk: Path) -> None:
    (disk / "plate.tif").write_bytes(os.urandom(16 * MIB))
    watch = TrafficWatch(disk, disk)
    assert watch.look(60.0, 0).duration_s == 0
    # As a transfer does at the end of each batch, for all that anybody has written there.
    os.sync()
    assert watch.look(1.0, 0).foreign_bytes <= IN_FLIGHT_BYTES
    (disk / "theirs.tif").write_bytes(os.urandom(16 * MIB))
    assert watch.look(1.0, 0).foreign_bytes >= 16 * MIB
    os.sync()


@pytest.mark.needs("root")
def test_what_was_counted_and_is_written_after_the_look_is_not_taken_for_somebody_elses(disk: Path) -> None:
    watch = TrafficWatch(disk, disk)
    watch.look(1.0, 0)
    # Two threads have read a buffer each, and have written none.
    assert watch.look(1.0, 2 * MIB).foreign_bytes < 64 << 10
    (disk / "ours.tif").write_bytes(os.urandom(2 * MIB))
    assert watch.look(1.0, 0).foreign_bytes < 64 << 10
    # That is over by the next look: whoever writes then is somebody else.
    watch.look(1.0, 2 * MIB)
    watch.look(1.0, 0)
    (disk / "theirs.tif").write_bytes(os.urandom(4 * MIB))
    assert watch.look(1.0, 0).foreign_bytes >= 4 * MIB


@pytest.mark.needs("root")
def test_who_overwrites_is_found_however_much_was_on_its_way_before(disk: Path) -> None:
    (disk / "theirs.tif").write_bytes(os.urandom(16 * MIB))
    watch = TrafficWatch(disk, disk)
    watch.look(1.0, 0)
    os.sync()
    watch.look(1.0, 0)
    with (disk / "theirs.tif").open("r+b") as file:
        for _ in range(3):
            file.seek(0)
            file.write(os.urandom(16 * MIB))
            file.flush()
            os.fsync(file.fileno())
    assert watch.look(1.0, 0).foreign_bytes >= 16 * MIB
