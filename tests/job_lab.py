"""A scheduler whose repository, catalogue and executor have the troubles that a test plans for them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hcs_mesh.actors.analysis.patience import Patience
from hcs_mesh.actors.analysis.scheduler import Scheduler
from hcs_mesh.actors.retention import Retention
from hcs_mesh.config import MeshError
from hcs_mesh.messages.compute import (
    AwaitJob,
    CancelWell,
    CompilePipeline,
    ExecutorUp,
    GetJob,
    JobStatus,
    RunWell,
    SubmitJob,
)
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.plates.errors import ResultsGoElsewhere
from hcs_mesh.plates.model import Image, Plate, build_plate
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.journal import DISK, Disk
from hcs_mesh.transport import Ref

WELLS = ("A01", "A02", "A03")


class Shelf:
    """A repository whose disk has the troubles that were planned for it."""

    def __init__(self) -> None:
        self.at_folder: deque[Exception] = deque()
        self.at_commit: deque[Exception] = deque()
        self.at_results: dict[str, deque[Exception]] = {}
        """What is met, one after the other, when it is asked what is kept of a job."""
        self.at_sweep: dict[str, deque[Exception]] = {}
        self.kept: dict[tuple[str, str], StoredResult] = {}
        self.requesters: list[str] = []

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        self.requesters.append(requester)
        if self.at_folder:
            raise self.at_folder.popleft()
        return Path("/nowhere", job, well, str(attempt))

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        self.requesters.append(requester)
        if self.at_commit:
            raise self.at_commit.popleft()
        return self.kept.setdefault((job, well), _result(job, plate_id, well, attempt))

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        if self.at_results.get(job):
            raise self.at_results[job].popleft()
        return tuple(one for (of, _), one in self.kept.items() if of == job)

    def sweep(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        self.requesters.append(requester)
        if self.at_sweep.get(job):
            raise self.at_sweep[job].popleft()
        return ()


def _result(job: str, plate_id: int, well: str, attempt: int) -> StoredResult:
    return StoredResult(job=job, plate_id=plate_id, well=well, attempt=attempt, n_objects=1, measurements=(), files=())


def _check_results(plate_id: int, wanted: str) -> None:
    if wanted:
        raise ResultsGoElsewhere(f"plate {plate_id} is not of {wanted!r}")


class Catalogue(Actor[GetPlate]):
    """Answers with one plate, after its planned troubles."""

    def __init__(self, plate: Plate, troubles: deque[MeshError]) -> None:
        self._plate = plate
        self._troubles = troubles

    async def receive(self, message: GetPlate) -> Any:
        if self._troubles:
            raise self._troubles.popleft()
        return self._plate


class Bench(Actor[CompilePipeline | RunWell | CancelWell]):
    """An executor that lives on, whatever it answers."""

    def __init__(self, troubles: deque[Exception]) -> None:
        self.troubles = troubles

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        match message:
            case CompilePipeline():
                return "counting"
            case RunWell():
                if self.troubles:
                    raise self.troubles.popleft()
                return _result(message.job, message.plate.id, message.well, message.attempt)
        return None


class Lab:
    """A node with a scheduler and all that it asks."""

    def __init__(
        self,
        *,
        root: str = "/nowhere",
        patience: Patience | None = None,
        disk: Disk = DISK,
        retention: Retention | None = None,
        is_private: bool = False,
        shelf: Shelf | None = None,
    ) -> None:
        self._is_private = is_private
        self._disk = disk
        self._retention = retention
        self._patience = patience or Patience(first_s=0.01, longest_s=0.02, n_waits=3)
        images = [Image(well, 1, 0, 0, 0, "plane", f"{well}.tif", 0, 8, 8, "uint16") for well in WELLS]
        self.plate = build_plate(images, id=7, name="P", channels=("DNA",), root=root)
        self.shelf = shelf or Shelf()
        self.at_metadata: deque[MeshError] = deque()
        self.at_executor: deque[Exception] = deque()
        self.charges: list[str] = []
        self.node = Node("hub")
        self.scheduler: Ref = self.node.find("scheduler")

    async def start(self, journal: Path) -> None:
        await self.node.start_actor("metadata", lambda: Catalogue(self.plate, self.at_metadata))
        await self.node.start_actor("executor.cpu0", self.bench)
        self.life = await self.node.start_actor(
            "scheduler",
            lambda: Scheduler(
                self.shelf,  # type: ignore[arg-type]
                journal,
                charge_executor=lambda name, blame: self.charges.append(blame),
                check_results=_check_results,
                retention=self._retention,
                patience=self._patience,
                disk=self._disk,
                is_private=lambda plate_id: self._is_private,
            ),
        )
        self.scheduler.tell(ExecutorUp(executor="executor.cpu0", pid=1))

    def bench(self) -> Bench:
        return Bench(self.at_executor)

    async def submit(self, *wells: str) -> str:
        return await self.scheduler.ask(SubmitJob(plate_id=7, source="", key=str(wells), wells=wells or WELLS))

    async def until_over(self, job: str, seen: list[JobStatus] | None = None) -> JobStatus:
        status = await self.scheduler.ask(GetJob(job=job))
        while status.state == "running":
            status = await self.scheduler.ask(AwaitJob(job=job, revision=status.revision))
            if seen is not None:
                seen.append(status)
        return status

    async def until_reason(self, job: str, part: str) -> None:
        status = await self.scheduler.ask(GetJob(job=job))
        while part not in status.reason:
            status = await self.scheduler.ask(AwaitJob(job=job, revision=status.revision))


@asynccontextmanager
async def opened(
    journal: Path,
    *,
    root: str = "/nowhere",
    patience: Patience | None = None,
    at_metadata: Iterable[MeshError] = (),
    disk: Disk = DISK,
    retention: Retention | None = None,
    is_private: bool = False,
    shelf: Shelf | None = None,
) -> AsyncIterator[Lab]:
    found = Lab(root=root, patience=patience, disk=disk, retention=retention, is_private=is_private, shelf=shelf)
    found.at_metadata.extend(at_metadata)
    await found.start(journal)
    try:
        yield found
    finally:
        await found.life.stop()
        await found.life.wait()
        await found.node.close()
