"""What a subject holds already, as the scheduler, the metadata cache and the repository know it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ...messages.compute import GetJob, JobStatus, ListJobs
from ...messages.frames import WellStateChanged
from ...messages.metadata import GetPlate, ListPlates
from ...messages.planes import PlaneRecord, acquired_planes, result_planes
from ...messages.streaming import Snapshot
from ...messages.viewing import Contents, Subject
from ...plates.model import Plate
from ...plates.repository import StoredResult
from ...transport import Ref
from .errors import NothingToShow

SCHEDULER = "scheduler"
METADATA = "metadata"


class ResultSource(Protocol):
    """Where finished wells are kept."""

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        """List the finished wells of a job."""
        ...


class PlaneHistory:
    """Looks up the snapshot of a subject; the repository is the truth, nothing of it is kept here."""

    def __init__(self, results: ResultSource) -> None:
        self._results = results

    async def of(
        self, subject: Subject, find: Callable[[str], Ref], *, snapshot_bytes: int = 0, requester: str = ""
    ) -> Snapshot:
        """The snapshot of a job, a plate, or of the latest of either, as ``requester`` may see it; empty where none is.

        Raises:
            AskFailed: the job or plate does not exist.
        """
        if subject.job:
            status = await find(SCHEDULER).ask(GetJob(job=subject.job))
            if subject.plate_id not in (0, status.plate_id):
                raise NothingToShow(
                    f"job {subject.job} runs on plate {status.plate_id}, not on plate {subject.plate_id}",
                    hint="name the job alone",
                )
            return await self._of_job(status, find, snapshot_bytes, requester)
        if subject.plate_id:
            return await self._of_plate(subject.plate_id, find, snapshot_bytes, requester)
        latest = await find(SCHEDULER).ask(ListJobs(limit=1))
        if latest:
            status = await find(SCHEDULER).ask(GetJob(job=latest[0].job))
            return await self._of_job(status, find, snapshot_bytes, requester)
        plates = await find(METADATA).ask(ListPlates(requester=requester))
        if plates:
            return await self._of_plate(plates[-1].id, find, snapshot_bytes, requester)
        return Snapshot(contents=Contents())

    async def _of_plate(
        self, plate_id: int, find: Callable[[str], Ref], snapshot_bytes: int, requester: str
    ) -> Snapshot:
        plate = await find(METADATA).ask(GetPlate(plate_id=plate_id, requester=requester))
        return _snapshot(plate, Contents(plate_id=plate.id, plate_name=plate.name), [], plate.wells, snapshot_bytes)

    async def _of_job(
        self, status: JobStatus, find: Callable[[str], Ref], snapshot_bytes: int, requester: str
    ) -> Snapshot:
        plate = await find(METADATA).ask(GetPlate(plate_id=status.plate_id, requester=requester))
        results = await asyncio.to_thread(self._results.results, status.job, requester=requester)
        contents = Contents(plate_id=plate.id, plate_name=plate.name, job=status.job, job_state=status.state)
        of_the_job = {well.well for well in status.wells}
        wells = tuple(well for well in plate.wells if well in of_the_job)
        return _snapshot(plate, contents, results, wells, snapshot_bytes)


def _snapshot(
    plate: Plate, contents: Contents, results: Sequence[StoredResult], wells: tuple[str, ...], snapshot_bytes: int
) -> Snapshot:
    by_well: dict[str, list[PlaneRecord]] = {well: [] for well in wells}
    # Wells that are done come first: where memory bounds the snapshot, they are what there is to see.
    by_well = {result.well: [] for result in results} | by_well
    for record in acquired_planes(plate, wells):
        by_well[record.header.address.well].append(record)
    for result in results:
        by_well[result.well].extend(result_planes(result, plate))
    planes: list[PlaneRecord] = []
    n_bytes = n_left_out = 0
    for of_well in by_well.values():
        n_bytes += sum(_n_bytes(record) for record in of_well)
        if planes and snapshot_bytes and n_bytes > snapshot_bytes:
            n_left_out += len(of_well)
        else:
            planes += of_well
    addresses = [record.header.address for record in planes]
    return Snapshot(
        contents=msgspec.structs.replace(
            contents,
            wells=wells,
            fields=tuple(sorted({address.field for address in addresses})),
            z=tuple(sorted({address.z for address in addresses})),
            t=tuple(sorted({address.t for address in addresses})),
            n_planes=len(planes),
            n_left_out=n_left_out,
        ),
        planes=tuple(planes),
        wells=tuple(
            WellStateChanged(
                plate_id=plate.id,
                job=contents.job,
                well=result.well,
                state="done",
                n_objects=result.n_objects,
                measurements=result.measurements,
            )
            for result in results
        ),
    )


def _n_bytes(record: PlaneRecord) -> int:
    digits = record.header.dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    return record.header.height * record.header.width * (int(digits) // 8 if digits else 1)
