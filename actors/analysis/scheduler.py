"""The scheduler: takes jobs, hands their wells to the executors, commits what comes back, once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_never

from ...messages.compute import (
    AwaitJob,
    CancelJob,
    CompilePipeline,
    ExecutorDown,
    ExecutorUp,
    GetJob,
    JobStatus,
    ListJobs,
    SubmitJob,
)
from ...messages.frames import JobStateChanged
from ...messages.metadata import GetPlate
from ...messages.omero import PersonLoggedIn
from ...plates.plane_readers import is_read_here_only
from ...plates.repository import JobOrigin, WellResults
from ...supervisors import Actor
from ...supervisors.journal import DISK, SEGMENT_BYTES, Disk
from ...transport import INNER, Principal
from ..errors import JobEnded
from ..forgetting import keep_forgetting
from ..ledger import Ledger
from ..retention import Retention
from ..threads import Threads
from . import job_records as records
from .job_answers import JobAnswers
from .job_book import JobBook
from .job_endings import JobEndings
from .job_news import JobNews
from .job_records import Record
from .job_resumption import JobResumption
from .patience import Patience
from .pipeline_check import PipelineCheck
from .scheduling import Scheduling
from .well_runs import WellRuns

Inbox = SubmitJob | GetJob | AwaitJob | ListJobs | CancelJob | ExecutorUp | ExecutorDown | PersonLoggedIn

COMPACT_RECORDS = 5_000

MAX_TOLD = 3
"""Jobs that are named as what the scheduler is at."""


class Scheduler(Actor[Inbox]):
    """Keeps every accepted job in its journal, and every executor at work."""

    def __init__(
        self,
        results: WellResults,
        journal_folder: Path,
        *,
        attempts_per_well: int = 3,
        segment_bytes: int = SEGMENT_BYTES,
        running_executors: Callable[[], tuple[tuple[str, int], ...]] = tuple,
        end_executor: Callable[[str, str], None] = lambda name, why: None,
        charge_executor: Callable[[str, str], None] = lambda name, blame: None,
        check_results: Callable[[int, str], None] = lambda plate_id, wanted: None,
        away: Callable[[int, str], str] = lambda plate_id, owner: "",
        is_private: Callable[[int], bool] = lambda plate_id: False,
        job_taken: Callable[[JobOrigin], None] = lambda origin: None,
        patience: Patience | None = None,
        retention: Retention | None = None,
        disk: Disk = DISK,
        threads: Threads | None = None,
    ) -> None:
        """Commit to ``results``.

        Args:
            results: Where results go.
            journal_folder: Where accepted jobs are written down.
            attempts_per_well: Deaths or failures after which a well is set aside.
            segment_bytes: The size of one segment of the journal.
            running_executors: The executors (name, pid) that are up; asked once, at the start.
            end_executor: Ends one, charged to nobody: it did not heed a cancellation.
            charge_executor: Says who pays if one dies now: the well that it is at, or "child".
            check_results: Refuses a plate whose results do not go to the place that was named, or nowhere.
            away: Why nothing of a plate can be done in its owner's name now, if there is a reason; called in threads.
            is_private: Whether a plate's place decides for each person who sees it.
            job_taken: Hears of each job before its first well, in each life, and of those that have ended.
            retention: How many ended jobs are remembered, and for how long.
            patience: How long trouble with the disk or the catalogue is waited for before a well pays for it.
            disk: Where the journal lies.
            threads: Where calls that block are made; its own where none are given.
        """
        self._results = results
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._running_executors = running_executors
        self._end_executor = end_executor
        self._charge_executor = charge_executor
        self._check_results = check_results
        self._away = away
        self._is_private = is_private
        self._job_taken = job_taken
        self._patience = patience or Patience()
        self._retention = retention or Retention()
        self._disk = disk
        self._threads = threads or Threads("scheduler")
        self._scheduling = Scheduling(attempts_per_well)
        self._book = JobBook()
        self._ledger: Ledger[Record] = Ledger(
            self._book, name_of=lambda record: record.job, compact_records=COMPACT_RECORDS
        )

    async def started(self) -> None:
        """Replay the journal; what is unfinished is taken up while others are answered already."""
        await self._ledger.open(
            self.context, self._folder, record_type=Record, segment_bytes=self._segment_bytes, disk=self._disk
        )
        if self._book.n_of_old_form:
            # To be packed once, and not at every start.
            await self._ledger.rewrite()
        self._news = JobNews(self.context.find, self.context.spawn)
        self._check = PipelineCheck(self.context, self._scheduling)
        self._answers = JobAnswers(self.context, self._book, self._ledger, self._is_private)
        endings = JobEndings(self._results, self._threads, self._book, self._ledger, self._news)
        self._runs = WellRuns(
            self.context,
            self._results,
            self._threads,
            self._scheduling,
            self._book,
            self._ledger,
            endings,
            self._news,
            self._end_executor,
            self._charge_executor,
            self._patience,
            self._away,
        )
        unfinished = [job for job in self._book.jobs.values() if not job.closed]
        for line in self._book.ended():
            # Nothing is written of it any more, but whose its results are is asked as long as anybody reads them.
            origin = JobOrigin(
                job=line.job, plate_id=line.plate_id, pipeline=line.pipeline, source="", owner=line.owner
            )
            self._job_taken(origin)
        for job in unfinished:
            self._job_taken(origin_of(job.submitted))
        for name, pid in self._running_executors():
            # The life before may have left it at a well; whatever that is, it is handed out again.
            for job in unfinished:
                for well in job.unfinished:
                    self._runs.cancel_well(name, job.job, well)
            self._executor_up(name, pid)
        self._runs.note_executors()
        resumption = JobResumption(
            self._results,
            self._threads,
            self._scheduling,
            self._book,
            self._ledger,
            endings,
            self._runs,
            self._news,
            self.context.find,
        )
        self.context.spawn(resumption.take_up(deque(unfinished)))
        self.context.spawn(keep_forgetting(self._book, self._ledger, self._retention, _forgotten))

    async def ended(self) -> None:
        """Wait for commits at work and close the journal."""
        await self._threads.finish()
        await self._ledger.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        running = [self._told(one.submitted) for one in self._book.jobs.values() if one.state == "running"]
        return {
            "wells_queued": self._scheduling.n_queued(),
            "executors": self._runs.n_executors,
            "unannounced": self._news.n_unheard,
            "busy": ", ".join(running[:MAX_TOLD]) + (", ..." if len(running) > MAX_TOLD else ""),
            **self._book.statistics(),
            **self._ledger.statistics(),
        }

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        asker = self.context.principal
        match message:
            case SubmitJob():
                owner = asker.name
                return self.defer_once(("submit", owner, message.key), lambda _: self._submit(message, owner))
            case GetJob(job=job, asker=of_whom):
                asker = of_whom if of_whom is not None and asker == INNER else asker
                return self._answers.at_once(job, asker) or self.defer(self._answers.status(job, asker))
            case AwaitJob():
                return self.defer_wait(self._answers.awaited(message, asker))
            case ListJobs():
                return self._answers.listed(message, asker)
            case CancelJob(job=job):
                return self.defer(self._cancel(job, asker))
            case ExecutorUp(executor=executor, pid=pid):
                self._executor_up(executor, pid)
            case ExecutorDown(executor=executor, pid=pid):
                self._runs.executor_down(executor, pid)
            case PersonLoggedIn(user=user):
                self._runs.logged_in(user)
            case _:
                assert_never(message)
        return None

    async def _submit(self, message: SubmitJob, owner: str) -> str:
        known = self._book.by_key(owner, message.key)
        if known is not None:
            return known
        self._check_results(message.plate_id, message.results_in)
        plate = await self.context.find("metadata").ask(GetPlate(plate_id=message.plate_id, requester=owner))
        wells = message.wells or plate.declared_wells
        pipeline = await self._check.compile(
            CompilePipeline(source=message.source, source_name=message.source_name, plate=plate, wells=wells)
        )
        job = self._book.new_id()
        submitted = records.Submitted(
            job=job,
            at_unix_s=time.time(),
            key=message.key,
            plate_id=plate.id,
            plate_name=plate.name,
            pipeline=pipeline,
            source=message.source,
            source_name=message.source_name,
            owner=owner,
            wells=wells,
        )
        await self._ledger.write(submitted)
        self._job_taken(origin_of(submitted))
        self._news.running(job, plate, wells)
        self._runs.perform(self._scheduling.add_job(job, owner, wells, here_only=is_read_here_only(plate.root)))
        self._runs.note_executors()
        return job

    def _told(self, submitted: records.Submitted) -> str:
        # Everybody sees what the scheduler is at, and not everybody each plate.
        plate = "" if self._is_private(submitted.plate_id) else f" on {submitted.plate_name or submitted.plate_id}"
        return f"{submitted.job}{plate} for {submitted.owner}"

    async def _cancel(self, name: str, asker: Principal) -> JobStatus:
        status = await self._answers.decided_by(name, asker)
        was_over = status.state != "running"
        if not was_over:
            await self._ledger.write(records.Cancelled(job=name, at_unix_s=time.time(), by=asker.name))
            status = self._answers.known(name)
        if was_over or status.state != "cancelled":
            # Perhaps only just: its end was written before the cancellation.
            raise JobEnded(
                f"{name} is {status.state}: there is nothing to cancel", hint=f"hcs-mesh jobs {name} shows its wells"
            )
        self._runs.perform(self._scheduling.cancel_job(name))
        self._news.tell(
            JobStateChanged(plate_id=status.plate_id, plate_name=status.plate_name, job=name, state="cancelled")
        )
        return self._answers.known(name)

    def _executor_up(self, executor: str, pid: int) -> None:
        self._check.executor_up()
        self._runs.executor_up(executor, pid)


def origin_of(submitted: records.Submitted) -> JobOrigin:
    """What whoever keeps a job's results tells of it."""
    return JobOrigin(
        job=submitted.job,
        plate_id=submitted.plate_id,
        pipeline=submitted.pipeline,
        source=submitted.source,
        owner=submitted.owner,
    )


def _forgotten(job: str, now_unix_s: float) -> Record:
    return records.Forgotten(job=job, at_unix_s=now_unix_s)
