"""Settling, look by look, beside an acquisition whose files come at times of their own."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.means import ImportMeans
from hcs_mesh.actors.imports.readiness import Scan
from hcs_mesh.actors.imports.records import Accepted, Record, Settled
from hcs_mesh.actors.imports.settling import ImportSettling
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.model import Missing, build_plate
from hcs_mesh.plates.planners import Fileset, Plan, PlannedFile
from hcs_mesh.plates.repository import SourceFile

pytestmark = pytest.mark.anyio

AHEAD_NS = 1 << 62
"""A time that no clock has reached: what was seen alone counts."""


class Acquisition:
    """A source of ``n_files`` that come ``every_s``; a second goes by with each look, and none otherwise."""

    def __init__(self, n_files: int, *, every_s: float, first_s: float) -> None:
        self.now_s = 0.0
        self.n_files = n_files
        self._every_s, self._first_s = every_s, first_s

    @property
    def names(self) -> list[str]:
        n = int((self.now_s - self._first_s) // self._every_s) + 1
        return [f"{number}.tif" for number in range(min(max(n, 1), self.n_files))]

    def _time_ns(self, name: str) -> int:
        return AHEAD_NS + int(name.removesuffix(".tif"))

    async def scan(self) -> Scan:
        self.now_s += 1.0
        return Scan({name: (10, self._time_ns(name), 1) for name in self.names})

    async def plan(self, say: Callable[[str], None]) -> Plan:
        files = tuple(PlannedFile(name, 10) for name in self.names)
        due = () if len(files) == self.n_files else (f"{self.n_files} files are declared and {len(files)} are there",)
        return Plan(filesets=(Fileset(planner="any", root="", files=files, plates=()),), pending=due)

    async def probe(self, plan: Plan, say: Callable[[str], None]) -> tuple[()]:
        return ()

    async def manifest(self, plan: Plan) -> tuple[SourceFile, ...]:
        paths = [file.path for fileset in plan.filesets for file in fileset.files]
        return tuple(SourceFile(path=path, size=10, mtime_ns=self._time_ns(path), inode=1) for path in paths)


async def settled(source: Any, settings: ImportSettings, order: ImportOrder) -> tuple[Settled, ImportLife]:
    """What an import of a source settles with."""
    life = ImportLife(Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=order))
    written: list[Record] = []

    async def write(record: Record) -> None:
        written.append(record)

    async def run(work: Callable[[], Any], **options: Any) -> Any:
        return work()

    anything: Any = SimpleNamespace(run=run, same_as=lambda digest, but: None)
    context: Any = SimpleNamespace(now=lambda: source.now_s)
    ledger: Any = SimpleNamespace(write=write, changes=SimpleNamespace(tell=lambda import_id: None))
    means = ImportMeans(
        context=context,
        repository=anything,
        threads=anything,
        copying_threads=anything,
        looks=anything,
        book=anything,
        ledger=ledger,
        settings=settings,
        open_source=lambda life: source,
        stopped=lambda import_id: False,
    )
    async with asyncio.timeout(60.0):
        await ImportSettling(means).settle(life)
    (found,) = [one for one in written if isinstance(one, Settled)]
    return found, life


@pytest.mark.parametrize("every_s", [2.0, 4.0, 6.0])
@pytest.mark.parametrize("first_s", [0.5, 1.5])
async def test_who_goes_on_writing_is_waited_for_also_where_no_change_falls_between_the_looks_of_a_round(
    every_s: float, first_s: float
) -> None:
    source = Acquisition(40, every_s=every_s, first_s=first_s)
    settings = ImportSettings(settle_s=0.001, pending_patience_s=10.0)
    found, _ = await settled(source, settings, ImportOrder(path="/in/p"))
    assert found.plan.n_files == source.n_files


class SetOfFiles(Acquisition):
    """The same, of which the order names the first file alone: the others are found by its metadata."""

    def __init__(self, n_files: int, *, every_s: float, first_s: float, is_announced: bool = True) -> None:
        super().__init__(n_files, every_s=every_s, first_s=first_s)
        self._is_announced = is_announced

    async def scan(self) -> Scan:
        seen = await super().scan()
        return Scan({"0.tif": seen.files["0.tif"]})

    async def plan(self, say: Callable[[str], None]) -> Plan:
        found = await super().plan(say)
        return found if self._is_announced else replace(found, pending=())


@pytest.mark.parametrize("every_s", [0.7, 2.0, 5.0])
async def test_a_set_of_which_one_file_is_named_is_waited_for_whole(every_s: float) -> None:
    source = SetOfFiles(12, every_s=every_s, first_s=0.5)
    settings = ImportSettings(settle_s=0.001, pending_patience_s=10.0)
    found, life = await settled(source, settings, ImportOrder(path="/in/p/0.tif"))
    assert len(found.files) == source.n_files
    assert life.reason == "watching whether 0.tif or one of 11 more files of its set is still being written to"


async def test_a_set_that_does_not_say_how_much_comes_is_planned_again_until_nothing_is_new() -> None:
    source = SetOfFiles(12, every_s=0.7, first_s=0.5, is_announced=False)
    found, _ = await settled(source, ImportSettings(settle_s=0.001), ImportOrder(path="/in/p/0.tif"))
    assert len(found.files) == source.n_files


async def test_a_set_whose_last_file_still_grows_is_not_at_rest() -> None:
    class Growing(SetOfFiles):
        async def manifest(self, plan: Plan) -> tuple[SourceFile, ...]:
            *others, last = await super().manifest(plan)
            return (*others, replace(last, size=min(int(self.now_s), 30)))

    source = Growing(3, every_s=0.1, first_s=0.0)
    found, _ = await settled(source, ImportSettings(settle_s=0.001), ImportOrder(path="/in/p/0.tif"))
    assert [file.size for file in found.files] == [10, 10, 30]


class WithoutItsEnd(Acquisition):
    """All files are there from the beginning; the microscope writes ``ends_s`` later that it has ended."""

    def __init__(self, *, ends_s: float) -> None:
        super().__init__(3, every_s=0.1, first_s=0.0)
        self._ends_s = ends_s

    async def scan(self) -> Scan:
        seen = await super().scan()
        return Scan({**seen.files, "end": (int(self.now_s >= self._ends_s), AHEAD_NS, 2)})

    async def plan(self, say: Callable[[str], None]) -> Plan:
        found = await super().plan(say)
        unended = () if self.now_s >= self._ends_s else ("there is no end yet",)
        return replace(found, filesets=tuple(replace(one, unended=unended) for one in found.filesets), pending=unended)


PATIENT = ImportSettings(settle_s=0.001, pending_patience_s=10.0, longest_patience_s=300.0)


async def test_the_end_that_a_microscope_writes_is_waited_for_much_longer_than_what_it_announces() -> None:
    source = WithoutItsEnd(ends_s=200.0)
    found, _ = await settled(source, PATIENT, ImportOrder(path="/in/p"))
    assert 200.0 <= source.now_s < 210.0
    assert found.plan.unended == ()


async def test_an_end_that_does_not_come_is_waited_for_no_longer_than_the_longest_patience() -> None:
    source = WithoutItsEnd(ends_s=1e9)
    found, _ = await settled(source, PATIENT, ImportOrder(path="/in/p"))
    assert 300.0 <= source.now_s < 310.0
    assert found.plan.unended == ("there is no end yet",)


async def test_who_is_called_ended_is_not_waited_for() -> None:
    source = WithoutItsEnd(ends_s=1e9)
    await settled(source, PATIENT, ImportOrder(path="/in/p", ended=True))
    assert source.now_s < 10.0


class Declared(Acquisition):
    """A source of one file whose metadata declare a hundred thousand images, which are waited for."""

    def __init__(self) -> None:
        super().__init__(1, every_s=0.1, first_s=0.0)
        self.held: list[int] = []
        self.n_plans = 0

    async def scan(self) -> Scan:
        self.held.append(tracemalloc.get_traced_memory()[0])
        return await super().scan()

    async def plan(self, say: Callable[[str], None]) -> Plan:
        self.n_plans += 1
        found = await super().plan(say)
        missing = tuple(Missing(well="A01", field=1, c=0, z=0, t=t, file=f"{t}.tif") for t in range(100_000))
        plates = (build_plate((), id=0, name="P", missing=missing),)
        filesets = tuple(replace(one, plates=plates) for one in found.filesets)
        return replace(found, filesets=filesets, pending=("100000 images are declared and 1 is there",))


async def test_what_waits_keeps_why_and_not_its_plan() -> None:
    tracemalloc.start()
    try:
        source = Declared()
        settings = ImportSettings(settle_s=0.001, pending_patience_s=30.0)
        found, _ = await settled(source, settings, ImportOrder(path="/in/p"))
    finally:
        tracemalloc.stop()
    # Once when it was new, and once when there was no more patience.
    assert source.n_plans == 2
    assert len(found.plan.plates[0].missing) == 100_000
    # Such a plan is more than 10 MiB: it is kept by nobody at any look but the last, which is after it.
    assert len(source.held) > 20
    assert max(source.held[:-1]) - source.held[0] < 1 << 20
    assert source.held[-1] - source.held[0] > 10 << 20
