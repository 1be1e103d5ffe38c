"""Jobs in whose owner's name nobody may act now: they wait with the reason, and keep nobody else waiting."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hcs_mesh.actors.analysis.patience import Patience
from hcs_mesh.actors.analysis.scheduler import Scheduler
from hcs_mesh.messages.compute import (
    AwaitJob,
    CancelJob,
    CancelWell,
    CompilePipeline,
    ExecutorUp,
    GetJob,
    JobStatus,
    RunWell,
    SubmitJob,
)
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.omero.errors import OmeroAwaitsLogin, OmeroNotAnswering, OmeroUnreachable
from hcs_mesh.plates.repository import JobOrigin, StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Ref

pytestmark = pytest.mark.anyio

WELLS = ("A01", "A02", "A03")
AWAY, HERE = 7, 8
"""Two plates: of one, nothing can be done while the flag is up."""
LOGIN = OmeroAwaitsLogin("nobody may act for ada at OMERO")


class House:
    """Where plates are and results go; for one plate somebody has to log in."""

    def __init__(self) -> None:
        self.away = ""
        self.error: Exception = LOGIN
        self.at_metadata = self.at_folder = self.at_commit = self.at_executor = False
        self.kept: list[tuple[int, str]] = []
        self.origins: list[JobOrigin] = []
        self.answers = False
        """Whether whoever looks if something can be done is told that it can."""

    def check(self, plate_id: int, *, here: bool) -> None:
        if self.away and here and plate_id == AWAY:
            raise self.error

    def why_away(self, plate_id: int, owner: str) -> str:
        return self.away if plate_id == AWAY and not self.answers else ""

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        self.check(plate_id, here=self.at_folder)
        return Path("/nowhere", job, well, str(attempt))

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        self.check(plate_id, here=self.at_commit)
        self.kept.append((plate_id, well))
        return StoredResult(job=job, plate_id=plate_id, well=well, attempt=attempt, n_objects=1)

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        return ()

    def sweep(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        if self.away:
            raise self.error
        return ()


class Catalogue(Actor[GetPlate]):
    def __init__(self, house: House) -> None:
        self._house = house

    async def receive(self, message: GetPlate) -> Any:
        self._house.check(message.plate_id, here=self._house.at_metadata)
        images = [Image(well, 1, 0, 0, 0, "plane", f"{well}.tif", 0, 8, 8, "uint16") for well in WELLS]
        return build_plate(images, id=message.plate_id, name="P", channels=("DNA",), root="/nowhere")


class Bench(Actor[CompilePipeline | RunWell | CancelWell]):
    def __init__(self, house: House) -> None:
        self._house = house

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        if isinstance(message, CompilePipeline):
            return "counting"
        if isinstance(message, RunWell):
            self._house.check(message.plate.id, here=self._house.at_executor)
            return StoredResult(job=message.job, plate_id=message.plate.id, well=message.well, attempt=message.attempt)
        return None


class Lab:
    """A scheduler with one executor."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.node = Node("hub")
        self.scheduler: Ref = self.node.find("scheduler")

    async def start(self, journal: Path) -> None:
        await self.node.start_actor("metadata", lambda: Catalogue(self.house))
        await self.node.start_actor("executor.cpu0", lambda: Bench(self.house))
        self.life = await self.node.start_actor(
            "scheduler",
            lambda: Scheduler(
                self.house,  # type: ignore[arg-type]
                journal,
                patience=Patience(first_s=0.01, longest_s=0.02, n_waits=3),
                away=self.house.why_away,
                job_taken=self.house.origins.append,
            ),
        )
        self.scheduler.tell(ExecutorUp(executor="executor.cpu0", pid=1))

    async def submit(self, plate_id: int) -> str:
        return await self.scheduler.ask(SubmitJob(plate_id=plate_id, source="P()", key=str(plate_id), wells=WELLS))

    async def until(self, job: str, when: Callable[[JobStatus], bool]) -> JobStatus:
        status = await self.scheduler.ask(GetJob(job=job))
        while not when(status):
            status = await self.scheduler.ask(AwaitJob(job=job, revision=status.revision))
        return status


@asynccontextmanager
async def opened(journal: Path, house: House) -> AsyncIterator[Lab]:
    lab = Lab(house)
    await lab.start(journal)
    try:
        yield lab
    finally:
        await lab.life.stop()
        await lab.life.wait()
        await lab.node.close()


def waits(status: JobStatus) -> bool:
    return status.reason.startswith("waiting: nobody may act for ada")


@pytest.mark.parametrize("where", ["at_metadata", "at_folder", "at_executor", "at_commit"])
async def test_a_job_waits_for_a_login_out_of_the_way_of_others(tmp_path: Path, where: str) -> None:
    house = House()
    async with opened(tmp_path / "journal", house) as lab:
        house.away = str(LOGIN)
        # To be submitted it takes the plate.
        setattr(house, where, where != "at_metadata")
        waiting = await lab.submit(AWAY)
        setattr(house, where, True)
        await lab.until(waiting, waits)
        # The only executor does what can be done.
        other = await lab.submit(HERE)
        assert (await lab.until(other, lambda one: one.state != "running")).state == "done"
        assert (await lab.scheduler.ask(GetJob(job=waiting))).state == "running"
        house.away = ""
        done = await lab.until(waiting, lambda one: one.state != "running")
        assert (done.state, done.faults, done.reason) == ("done", (), "")
        assert sorted(well for plate_id, well in house.kept if plate_id == AWAY) == list(WELLS)


async def test_a_parked_job_can_be_cancelled(tmp_path: Path) -> None:
    house = House()
    async with opened(tmp_path / "journal", house) as lab:
        house.away, house.at_folder = str(LOGIN), True
        job = await lab.submit(AWAY)
        await lab.until(job, waits)
        assert (await lab.scheduler.ask(CancelJob(job=job))).state == "cancelled"


async def test_a_server_that_answers_but_not_for_this_well_costs_the_well_its_attempts(tmp_path: Path) -> None:
    house = House()
    house.error = OmeroNotAnswering("it took longer than 60 s")
    async with opened(tmp_path / "journal", house) as lab:
        house.at_folder, house.answers = True, True
        house.away = "only calls that take long"
        job = await lab.submit(AWAY)
        failed = await lab.until(job, lambda one: one.state != "running")
        assert failed.state == "failed"
        assert "longer than 60 s" in failed.reason


async def test_after_a_restart_a_job_says_what_it_waits_for_and_goes_on(tmp_path: Path) -> None:
    house = House()
    house.error = OmeroUnreachable("nobody may act for ada: OMERO at h:1 cannot be reached")
    async with opened(tmp_path / "journal", house) as lab:
        house.away, house.at_commit = "it is down", True
        job = await lab.submit(AWAY)
        await lab.until(job, waits)
    async with opened(tmp_path / "journal", house) as lab:
        await lab.until(job, waits)
        house.away = ""
        assert (await lab.until(job, lambda one: one.state != "running")).state == "done"
    async with opened(tmp_path / "journal", house) as lab:
        assert (await lab.scheduler.ask(GetJob(job=job))).state == "done"
    told = JobOrigin(job=job, plate_id=AWAY, pipeline="counting", source="P()", owner="mesh")
    # In each life, before anything is done; when it is over too, for its results are read on.
    assert house.origins == [told, told, msgspec.structs.replace(told, source="")]
