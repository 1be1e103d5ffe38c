"""The resumption of jobs after a restart: what the repository holds of them is not computed again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable

from ...config import MeshError, get_logger
from ...messages.metadata import GetPlate
from ...plates.plane_readers import is_read_here_only
from ...plates.repository import WellResults
from ...transport import Ref
from ..errors import MeshFault
from ..ledger import Ledger
from ..mishaps import faults_as_errors
from ..threads import Threads
from . import job_records as records
from .job_book import JobBook
from .job_endings import JobEndings
from .job_news import JobNews
from .job_records import Record
from .open_job import Job
from .scheduling import Scheduling
from .well_runs import WellRuns

log = get_logger(__name__)

PLATE_S = 10.0
"""How long the place of one job's plate may keep the jobs behind it waiting."""
AGAIN_S = 1.0
"""The wait before a job is tried again that the repository or a full disk refused."""
FAULTS_PER_JOB = 3
"""How often a job may meet a fault of the mesh while it is taken up: trouble of a moment, as memory that is short."""
_TAKEN_UP = "taken up"
"""What a job as a whole waits for meanwhile."""


class JobResumption:
    """Takes up the jobs of the life before, while people are answered already."""

    def __init__(
        self,
        results: WellResults,
        threads: Threads,
        scheduling: Scheduling,
        book: JobBook,
        ledger: Ledger[Record],
        endings: JobEndings,
        runs: WellRuns,
        news: JobNews,
        find: Callable[[str], Ref],
    ) -> None:
        """Look into ``results`` for what is done, and let ``runs`` go on with the rest."""
        self._results = results
        self._threads = threads
        self._scheduling = scheduling
        self._book = book
        self._ledger = ledger
        self._endings = endings
        self._runs = runs
        self._news = news
        self._find = find

    async def take_up(self, waiting: deque[Job]) -> None:
        """Take these up one after the other; one that cannot be now does not hold up the others."""
        n_faults: Counter[str] = Counter()
        while waiting:
            job = waiting.popleft()
            try:
                await self._take_up(job)
            except MeshError as error:
                n_faults[job.job] += isinstance(error, MeshFault)
                if n_faults[job.job] >= FAULTS_PER_JOB:
                    await self._give_up(job, error)
                    continue
                # Told once: what waits for a login does so for days.
                if job.hinder(_TAKEN_UP, f"waiting: {error}"):
                    log.warning("a job cannot be taken up yet", job=job.job, reason=str(error))
                    self._ledger.changes.tell(job.job)
                waiting.append(job)
                await asyncio.sleep(AGAIN_S)

    async def _take_up(self, job: Job) -> None:
        """Go on with a job of before the restart: what is in the repository is not computed again."""
        name, plate_id, owner = job.job, job.submitted.plate_id, job.submitted.owner
        if job.over:
            await self._endings.end(name)
            return
        job.requeue()
        with faults_as_errors(job=name):
            await self._threads.run(lambda: self._results.sweep(name, requester=owner))
            kept = await self._threads.run(lambda: self._results.results(name, requester=owner))
        for result in kept:
            if result.well in job.unfinished:
                await self._ledger.write(
                    records.Kept(job=name, at_unix_s=time.time(), result=result, executor="", duration_s=0.0)
                )
        plate = await self._find("metadata").ask(GetPlate(plate_id=plate_id, requester=owner), timeout_s=PLATE_S)
        self._news.running(name, plate, job.submitted.wells)
        with faults_as_errors(job=name):
            for result in await self._threads.run(lambda: self._results.results(name, requester=owner)):
                self._news.result(plate, result)
        if self._book.is_over(name):
            # Cancelled meanwhile.
            await self._endings.end(name)
            return
        job.hinder(_TAKEN_UP, "")
        errors = {well.well: well.error for well in job.status(with_source=False).wells}
        here_only = is_read_here_only(plate.root)
        self._runs.perform(
            self._scheduling.add_job(name, owner, job.unfinished, job.n_faults, errors, here_only=here_only)
        )
        self._runs.note_executors()

    async def _give_up(self, job: Job, fault: MeshError) -> None:
        """Fail what is left of a job: each life of the scheduler would meet the fault again; what was kept stays."""
        for well in job.unfinished:
            await self._endings.set_aside(job.job, well, str(fault))
        await self._endings.end(job.job)
