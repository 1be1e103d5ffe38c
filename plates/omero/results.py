"""Results of wells in OMERO: an attempt's files gather in a folder here, and are written to the server well by well."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from ..local.errors import ResultNotFound
from ..local.names import checked_id
from ..local.results import JobFolder
from ..repository import StoredResult
from .connection import Connection
from .pool import ConnectionPool
from .result_cache import ResultCache
from .result_keys import Provenance, ResultKey, provenance_pairs
from .result_reading import fetch_well
from .targets import find_plate, find_well, must_take_results
from .turns import Turns
from .well_records import find_result, finish_record, open_record, results_of_job
from .well_writing import WellWriting


def no_provenance(job: str) -> Provenance:
    """Nothing but the job: for a caller that knows no more."""
    return Provenance()


def of_who_asks(job: str) -> str:
    """Nobody in particular: for a caller that knows of no other owner than the session's user."""
    return ""


class OmeroResults:
    """Writes each well of each job once, in one session's name; a repeat finishes what an earlier try began."""

    kind = "omero"

    def __init__(
        self,
        pool: ConnectionPool,
        spool: Path,
        *,
        origin: str = "",
        provenance: Callable[[str], Provenance] = no_provenance,
        owner_of: Callable[[str], str] = of_who_asks,
        cache: ResultCache | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Write through the connections of one session what gathers below ``spool``, a folder on a disk of this host.

        ``origin`` tells these jobs from those of other meshes, ``provenance`` says what is told of each, ``owner_of``
        whose results are read, empty for the session's user's. Those who write below the same ``spool`` share one
        ``cache`` of finished wells, and their ``turns``.
        """
        self._pool = pool
        self._spool = spool
        self._origin = origin
        self._provenance = provenance
        self._owner_of = owner_of
        self._cache = cache or ResultCache(spool / "finished")
        self._turns = turns or Turns()

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int) -> Path:
        """Make and return the empty folder into which this attempt writes its files, then seals them.

        Raises:
            PlateNotFound, OmeroNothingThere, BadName: there is no such plate, well or name.
            OmeroNotPermitted: the session's user may not annotate the plate: nothing need be computed.
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
            OmeroError: the server refuses or cannot be reached.
        """

        def look(connection: Connection) -> None:
            must_take_results(connection, plate_id)
            find_well(connection, plate_id, well)

        self._pool.read(look)
        return self._job_folder(plate_id, job).begin(well, attempt)

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int) -> StoredResult:
        """Write a sealed attempt to OMERO, once for each job and well: a later attempt gets the first one's result.

        Raises:
            PlateNotFound, OmeroNothingThere: there is no such plate, well or field.
            ResultNotSealed: the attempt's folder is missing or unfinished, and no earlier one is there.
            OmeroNotPermitted: the session's user may not annotate the plate.
            OmeroError: the server refuses or cannot be reached; the next call finishes what this one began.
        """
        job_folder = self._job_folder(plate_id, job)
        key = ResultKey(origin=self._origin, job=job, plate_id=plate_id, well=well)
        with self._turns.of(key), self._pool.connection() as connection:
            key = msgspec.structs.replace(key, owner=connection.user)
            plate, _ = find_plate(connection, plate_id)
            stored = find_result(connection, key, group_id=plate.group_id)
            if stored is None:
                # From here on it is this attempt that is written, whatever comes after it.
                published = job_folder.publish(well, attempt)
                stored = self._write(connection, key, published)
                folder = self._cache.take(key, Path(published.folder))
                return msgspec.structs.replace(stored, folder=str(folder))
            job_folder.drop(well, attempt)
            job_folder.drop_finished(well)
            return self._placed(connection, stored, key.owner)

    def results(self, job: str) -> tuple[StoredResult, ...]:
        """List the finished wells of a job, their files in folders of this host, fetched where they are not there.

        Raises:
            OmeroNothingThere: somebody has deleted a part of a result in OMERO.
            RepositoryFull, RepositoryFailed: the disk refuses.
            OmeroError: the server refuses or cannot be reached.
        """

        def read(connection: Connection) -> tuple[StoredResult, ...]:
            owner = self._owner_of(job) or connection.user
            found = results_of_job(connection, job, owner=owner, origin=self._origin)
            return tuple(self._placed(connection, result, owner) for result in found)

        return self._pool.read(read)

    def well_result(self, job: str, well: str) -> StoredResult:
        """Return one finished well of a job.

        Raises:
            ResultNotFound: the well is not finished, or nobody knows the job.
            OmeroNothingThere: somebody has deleted a part of the result in OMERO.
            RepositoryFull, RepositoryFailed: the disk refuses.
            OmeroError: the server refuses or cannot be reached.
        """

        def read(connection: Connection) -> StoredResult | None:
            owner = self._owner_of(job) or connection.user
            of_job = results_of_job(connection, job, owner=owner, origin=self._origin)
            found = next((result for result in of_job if result.well == well), None)
            return None if found is None else self._placed(connection, found, owner)

        found = self._pool.read(read)
        if found is None:
            raise ResultNotFound(
                f"Job {job} has no finished result for {f'well {well}' if well else 'the image'}.",
                hint="See 'hcs-mesh jobs' for what is finished.",
            )
        return found

    def sweep(self, job: str, *, alive: Collection[tuple[str, int]] = ()) -> tuple[StoredResult, ...]:
        """Write what a crash kept from being written and remove attempts that are not ``alive`` (well, attempt).

        Raises:
            RepositoryFull, RepositoryFailed: the disk refuses.
            OmeroError: the server refuses or cannot be reached.
        """
        finished: list[StoredResult] = []
        for folder in sorted(self._spool.glob(f"results/plate_*/{checked_id(job)}")):
            plate_id = int(folder.parent.name.removeprefix("plate_"))
            job_folder = self._job_folder(plate_id, job)
            finished.extend(self.commit_well(plate_id, job, well, attempt=0) for well in list(job_folder.finished()))
            for well, attempt in job_folder.attempts():
                if (well, attempt) not in alive:
                    job_folder.drop(well, attempt)
        return tuple(finished)

    def _write(self, connection: Connection, key: ResultKey, result: StoredResult) -> StoredResult:
        wells = find_well(connection, key.plate_id, key.well)
        provenance = self._provenance(key.job)
        pairs = provenance_pairs(provenance, key, attempt=result.attempt)
        record = open_record(connection, wells.well, key, pairs)
        if record.finished is not None:
            return record.finished
        writing = WellWriting(connection, wells, record, Path(result.folder))
        with self._turns.of((key.plate_id, key.job)):
            # What the wells of a job share is made by the first of them.
            writing.write_pipeline(provenance)
            writing.find_plate(result)
        notes = writing.write_files(result)
        stored = msgspec.structs.replace(result, folder="", notes=(*result.notes, *notes))
        finish_record(connection, record, stored)
        writing.make_thumbnails()
        return stored

    def _job_folder(self, plate_id: int, job: str) -> JobFolder:
        return JobFolder(self._spool, plate_id, job)

    def _placed(self, connection: Connection, result: StoredResult, owner: str) -> StoredResult:
        """A result with the folder of its files, which are fetched where they are not here."""
        key = ResultKey(origin=self._origin, job=result.job, plate_id=result.plate_id, well=result.well, owner=owner)

        def fetch(folder: Path) -> None:
            plate, _ = find_plate(connection, result.plate_id)
            fetch_well(connection, key, result, folder, group_id=plate.group_id)

        return msgspec.structs.replace(result, folder=str(self._cache.find(key, fetch)))
