"""A disk that hangs, or answers late, keeps no import of another disk from reading, nor from making way."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.plates import pace_looks
from hcs_mesh.plates.local import FolderReader
from hcs_mesh.plates.pace import MIB, UNLIMITED, Traffic
from hcs_mesh.plates.pace_reader import Pace
from hcs_mesh.plates.pace_traffic import TrafficWatch

N_BYTES = 8 * MIB
GUEST = GuestSettings(nice=0, io_class="none")
WITHIN_S = 30.0
"""Many times what a silent disk may cost."""


class World:
    """A clock that goes on only while somebody waits, and disks that hang and are written to when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 100.0
        self.repository = folder
        self.theirs, self.ours = folder / "theirs", folder / "ours"
        for plate in (self.theirs, self.ours):
            plate.mkdir()
            (plate / "A01.tif").write_bytes(os.urandom(N_BYTES))
        self.written: dict[Path, float] = {}
        self.looked_at: list[Path] = []
        self.n_answered = 0
        self._hang: dict[Path, threading.Event] = {}

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def hang(self, folder: Path) -> None:
        self._hang[folder] = threading.Event()

    def let_go(self, folder: Path) -> None:
        self._hang.pop(folder).set()

    def answer_once(self, folder: Path) -> None:
        """Let go of who waits, and hang for who comes next."""
        hanging = self._hang[folder]
        self.hang(folder)
        hanging.set()

    def let_all_go(self) -> None:
        for folder in list(self._hang):
            self.let_go(folder)

    def wait_for(self, folder: Path) -> None:
        """Block as long as the folder's disk hangs."""
        if (hanging := self._hang.get(folder)) is not None:
            hanging.wait()

    def pace(self) -> Pace:
        world = self

        class Watch(TrafficWatch):
            def __init__(self, source: Path, repository: Path) -> None:
                super().__init__(source, repository)
                self.source = source
                self.before: float | None = None

            def look(self, duration_s: float, own_bytes: int) -> Traffic:
                world.looked_at.append(self.source)
                before, self.before = self.before, world.written.get(self.source, 0.0)
                world.wait_for(self.source)
                world.n_answered += 1
                if before is None:
                    return Traffic(0.0, 0.0, own_bytes)
                return Traffic(duration_s, self.before - before, own_bytes, 5.0)

        return Pace(GUEST, self.repository, clock=lambda: self.now_s, sleep=self.sleep, watch=Watch)

    def look(self, pace: Pace) -> None:
        """A second goes by, and a thread that reads takes its turn."""
        self.now_s += 1.0
        pace.take(0, bool)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.let_all_go()


def ends(work: Callable[[], object]) -> bool:
    """Whether a thread of its own comes to the end of its work."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WITHIN_S)
    return not thread.is_alive()


def until(condition: Callable[[], object], what: str) -> None:
    asyncio.run(eventually(condition, WITHIN_S, what))


def look_until(world: World, pace: Pace, condition: Callable[[], bool], what: str) -> None:
    def looked() -> bool:
        world.look(pace)
        return condition()

    until(looked, what)


def read(pace: Pace, source: Path) -> bytes:
    """All bytes of the plate."""
    found, buffer = bytearray(), memoryview(bytearray(MIB))
    with closing(pace.reader(FolderReader(source), source).open("A01.tif")) as opened:
        while n := opened.read_into(buffer):
            found += buffer[:n]
    return bytes(found)


def test_an_import_reads_on_while_the_disk_of_one_that_settles_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the watch that looks at real disks, whose system call does not come back for one folder."""
    statvfs = os.statvfs

    def hanging(folder: Path) -> os.statvfs_result:
        world.wait_for(folder)
        return statvfs(folder)

    monkeypatch.setattr(os, "statvfs", hanging)
    pace = Pace(GUEST, world.repository, clock=lambda: world.now_s, sleep=world.sleep)
    # Of another file system: where it is the repository's, nobody asks it twice.
    pace.expect(Path("/proc"))
    world.hang(Path("/proc"))
    world.now_s += 1.0
    found: list[bytes] = []
    assert ends(lambda: found.append(read(pace, world.ours)))
    assert found == [(world.ours / "A01.tif").read_bytes()]


@pytest.mark.parametrize("who", ["settles", "reads"])
def test_who_writes_is_made_way_for_while_another_disk_hangs(world: World, who: str) -> None:
    pace = world.pace()
    pace.reader(FolderReader(world.ours), world.ours)
    if who == "reads":
        pace.reader(FolderReader(world.theirs), world.theirs)
    else:
        pace.expect(world.theirs)
    world.look(pace)
    world.look(pace)
    assert pace.rate == UNLIMITED
    world.hang(world.theirs)
    world.now_s += 1.0
    # It is the thread at the disk that hangs which looks.
    assert ends(lambda: pace.expect(world.theirs))
    world.written[world.ours] = 80.0 * MIB
    assert ends(lambda: world.look(pace))
    assert pace.yields


def test_a_disk_that_hangs_or_is_late_is_waited_for_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = world.pace()
    pace.expect(world.theirs)
    world.hang(world.theirs)
    assert ends(lambda: world.look(pace))
    # Whoever waited for it again would not be back in the time of this test.
    monkeypatch.setattr(pace_looks, "ANSWER_S", 10.0 * WITHIN_S)
    n_looks = len(world.looked_at)
    assert ends(lambda: world.look(pace))
    assert world.theirs not in world.looked_at[n_looks:]
    n_answered = world.n_answered
    world.answer_once(world.theirs)
    until(lambda: world.n_answered > n_answered, "the late answer")
    n_looks = len(world.looked_at)
    assert ends(lambda: look_until(world, pace, lambda: world.theirs in world.looked_at[n_looks:], "another look"))
    assert ends(lambda: world.look(pace))


def test_what_others_write_counts_again_once_their_disk_has_answered(world: World) -> None:
    pace = world.pace()
    pace.reader(FolderReader(world.theirs), world.theirs)
    world.look(pace)
    world.hang(world.theirs)
    assert ends(lambda: world.look(pace))
    world.written[world.theirs] = 800.0 * MIB
    world.let_go(world.theirs)
    n_looks = len(world.looked_at)
    look_until(world, pace, lambda: world.looked_at[n_looks:].count(world.theirs) > 1, "two looks at it")
    # Nobody can say when in that time somebody wrote.
    assert not pace.yields

    def made_way() -> bool:
        world.written[world.theirs] += 80.0 * MIB
        return pace.yields

    look_until(world, pace, made_way, "making way again")


def test_a_source_that_is_given_up_is_looked_at_no_more_though_its_disk_hung(world: World) -> None:
    pace = world.pace()
    pace.expect(world.theirs)
    world.hang(world.theirs)
    assert ends(lambda: world.look(pace))
    pace.forget(world.theirs)
    n_answered = world.n_answered
    world.let_go(world.theirs)
    until(lambda: world.n_answered > n_answered, "the answer of the disk")
    n_looks = len(world.looked_at)
    for _ in range(3):
        world.look(pace)
    assert set(world.looked_at[n_looks:]) == {world.repository}
