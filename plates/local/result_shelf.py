"""Results between two worlds: their folders on the disk and their rows in the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from ..repository import StoredResult
from .catalogue import Catalogue
from .names import checked_id
from .result_rows import find_result, get_result, insert_result, list_results
from .results import JobFolder


class ResultShelf:
    """Publishes each well of each job once: first the rename, then the row; a row always has its folder."""

    def __init__(self, folder: Path, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._clock = clock
        self._committing = threading.Lock()

    def begin(self, import_id: str, plate_id: int, job: str, well: str, attempt: int) -> Path:
        """Make the empty folder of an attempt."""
        return self._job_folder(import_id, plate_id, job).begin(well, attempt)

    def commit(self, import_id: str, plate_id: int, job: str, well: str, attempt: int) -> StoredResult:
        """Publish a sealed attempt, or drop it where the well is finished already.

        Raises:
            ResultNotSealed: neither this attempt nor an earlier one is whole.
        """
        job_folder = self._job_folder(import_id, plate_id, job)
        with self._committing:
            with self._catalogue.reading() as connection:
                found = find_result(connection, job, well)
            if found is not None:
                job_folder.drop(well, attempt)
                return self._placed(found)
            result = job_folder.publish(well, attempt)
            folder = Path(result.folder).relative_to(self._folder).as_posix()
            with self._catalogue.writing() as connection:
                insert_result(connection, result, folder, now_s=self._clock())
            return result

    def sweep(self, job: str, alive: Collection[tuple[str, int]]) -> tuple[StoredResult, ...]:
        """Give rows to folders that lack theirs, and remove the attempts that are not alive."""
        finished: list[StoredResult] = []
        committed = {(result.plate_id, result.well) for result in self.of_job(job)}
        for folder in sorted((self._folder / "imports").glob(f"*/results/plate_*/{checked_id(job)}")):
            import_id = folder.parents[2].name
            plate_id = int(folder.parent.name.removeprefix("plate_"))
            job_folder = self._job_folder(import_id, plate_id, job)
            finished.extend(
                self.commit(import_id, plate_id, job, well, attempt=0)
                for well in job_folder.finished()
                if (plate_id, well) not in committed
            )
            for well, attempt in job_folder.attempts():
                if (well, attempt) not in alive:
                    job_folder.drop(well, attempt)
        return tuple(finished)

    def of_job(self, job: str) -> tuple[StoredResult, ...]:
        """The finished wells of a job."""
        with self._catalogue.reading() as connection:
            return tuple(self._placed(found) for found in list_results(connection, job))

    def of_well(self, job: str, well: str) -> StoredResult:
        """One finished well.

        Raises:
            ResultNotFound: the well is not finished, or nobody knows the job.
        """
        with self._catalogue.reading() as connection:
            return self._placed(get_result(connection, job, well))

    def _job_folder(self, import_id: str, plate_id: int, job: str) -> JobFolder:
        return JobFolder(self._folder / "imports" / import_id, plate_id, job)

    def _placed(self, found: tuple[str, StoredResult]) -> StoredResult:
        folder, result = found
        return msgspec.structs.replace(result, folder=str(self._folder / folder))
