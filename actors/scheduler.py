"""The scheduler: takes jobs, hands their wells to the executors, commits what comes back, once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, assert_never

from ..config import MeshError, get_logger
from ..messages.compute import (
    AwaitJob,
    CancelJob,
    CancelWell,
    CompilePipeline,
    ExecutorDown,
    ExecutorUp,
    GetJob,
    JobStatus,
    ListJobs,
    RunWell,
    SubmitJob,
)
from ..messages.frames import JobStateChanged, PlanesCommitted, WellStateChanged
from ..messages.metadata import GetPlate
from ..messages.planes import acquired_planes, result_planes
from ..plates.model import Plate
from ..plates.repository import Repository, StoredResult
from ..supervisors import Actor
from ..supervisors.journal import SEGMENT_BYTES, Journal, JournalFull
from ..transport import ActorUnknown, AskFailed, AskTimedOut, Event, MailboxFull, PeerGone, TransportError
from . import job_records as records
from .errors import JobEnded, JobNotFound, NoExecutor
from .job_book import Job, JobBook, replay
from .job_records import Record
from .scheduling import Cancel, Ended, Instruction, Run, Scheduling, SetAside
from .threads import Threads

Inbox = SubmitJob | GetJob | AwaitJob | ListJobs | CancelJob | ExecutorUp | ExecutorDown

log = get_logger(__name__)

COMPACT_RECORDS = 5_000
WELL_TIMEOUT_S = 6 * 3600.0
COMPILE_TIMEOUT_S = 60.0
CANCEL_GRACE_S = 2.0
NO_EXECUTOR_S = 30.0
AGAIN_S = 1.0
"""The wait before something is tried again that the repository or a full disk refused."""


class Scheduler(Actor[Inbox]):
    """Keeps every accepted job in its journal, and every executor at work."""

    def __init__(
        self,
        repository: Repository,
        journal_folder: Path,
        *,
        attempts_per_well: int = 3,
        segment_bytes: int = SEGMENT_BYTES,
        running_executors: Callable[[], tuple[tuple[str, int], ...]] = tuple,
        end_executor: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        """Commit to ``repository``.

        Args:
            repository: Where results go.
            journal_folder: Where accepted jobs are written down.
            attempts_per_well: Deaths or failures after which a well is set aside.
            segment_bytes: The size of one segment of the journal.
            running_executors: The executors (name, pid) that are up; asked once, at the start.
            end_executor: Ends one, charged to nobody: it did not heed a cancellation.
        """
        self._repository = repository
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._running_executors = running_executors
        self._end_executor = end_executor
        self._threads = Threads("scheduler")
        self._scheduling = Scheduling(attempts_per_well)
        self._book = JobBook()
        self._journal: Journal[Record] | None = None
        self._pids: dict[str, int] = {}
        self._up: asyncio.Event = asyncio.Event()
        self._changed: dict[str, list[asyncio.Future[None]]] = {}
        self._ending = asyncio.Lock()
        self._n_unannounced = 0

    async def started(self) -> None:
        """Replay the journal; what is unfinished is taken up while others are answered already."""
        journal: Journal[Record] = await Journal.open(
            self._folder, record_type=Record, segment_bytes=self._segment_bytes
        )
        self._journal = journal
        self._book, n_records = replay(journal.replay())
        if n_records > COMPACT_RECORDS:
            # On a full disk the long journal is as good as a short one.
            with suppress(JournalFull):
                await journal.checkpoint(self._book.compacted())
        unfinished = [job for job in self._book.jobs.values() if not job.closed]
        for name, pid in self._running_executors():
            # The life before may have left it at a well; whatever that is, it is handed out again.
            for job in unfinished:
                for well in job.unfinished:
                    self._tell_executor(name, CancelWell(job=job.job, well=well))
            self._executor_up(name, pid)
        self.context.spawn(self._take_up_all(deque(unfinished)))

    async def ended(self) -> None:
        """Wait for commits at work and close the journal."""
        await self._threads.finish()
        if self._journal is not None:
            await self._journal.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "wells_queued": self._scheduling.n_queued(),
            "executors": len(self._pids),
            "unannounced": self._n_unannounced,
        }

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case SubmitJob():
                owner = self.context.principal.name
                return self.defer_once(("submit", message.key), lambda: self._submit(message, owner))
            case GetJob(job=job):
                return self._status(job)
            case AwaitJob():
                return self.defer(self._await(message))
            case ListJobs():
                return tuple(self._book.statuses())
            case CancelJob(job=job):
                return self.defer(self._cancel(job, self.context.principal.name))
            case ExecutorUp(executor=executor, pid=pid):
                self._executor_up(executor, pid)
            case ExecutorDown(executor=executor, pid=pid):
                if self._pids.get(executor) == pid:
                    del self._pids[executor]
                    # One that was at a well is reported by whoever waits for that well.
                    self._scheduling.idle_executor_down(executor)
            case _:
                assert_never(message)
        return None

    # -- what people ask --------------------------------------------------------------------------

    async def _submit(self, message: SubmitJob, owner: str) -> str:
        known = self._book.by_key(message.key)
        if known is not None:
            return known
        plate = await self.context.find("metadata").ask(GetPlate(plate_id=message.plate_id))
        wells = message.wells or plate.wells
        pipeline = await self._compile(
            CompilePipeline(source=message.source, source_name=message.source_name, plate=plate, wells=wells)
        )
        job = self._book.new_id()
        await self._write(
            records.Submitted(
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
        )
        self._announce(JobStateChanged(plate_id=plate.id, plate_name=plate.name, job=job, state="running"))
        self._announce(
            PlanesCommitted(plate_id=plate.id, plate_name=plate.name, job=job, planes=acquired_planes(plate, wells))
        )
        self._perform(self._scheduling.add_job(job, owner, wells))
        return job

    async def _compile(self, request: CompilePipeline) -> str:
        """Ask an executor, since only it knows what it can run; another one if that one dies."""
        until = self.context.now() + NO_EXECUTOR_S
        dead: set[str] = set()
        while self.context.now() < until:
            up = self._up
            executor = self._scheduling.some_executor(but=dead)
            if executor is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(up.wait(), until - self.context.now())
                dead.clear()
                continue
            try:
                return await self.context.find(executor).ask(request, timeout_s=COMPILE_TIMEOUT_S)
            except (PeerGone, ActorUnknown):
                dead.add(executor)
        raise NoExecutor(
            f"no executor has come up within {NO_EXECUTOR_S:g} s", hint="hcs-mesh ps shows why; hcs-mesh doctor checks"
        )

    def _status(self, job: str) -> JobStatus:
        status = self._book.status(job)
        if status is None:
            raise JobNotFound(f"there is no job {job}", hint="hcs-mesh jobs lists them")
        return status

    async def _await(self, message: AwaitJob) -> JobStatus:
        status = self._status(message.job)
        if status.revision != message.revision:
            return status
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._changed.setdefault(message.job, [])
        waiting.append(changed)
        await asyncio.wait([changed], timeout=message.wait_s)
        if not changed.done():
            waiting.remove(changed)
        return self._status(message.job)

    async def _cancel(self, name: str, by: str) -> JobStatus:
        status = self._status(name)
        was_over = status.state != "running"
        if not was_over:
            await self._write(records.Cancelled(job=name, at_unix_s=time.time(), by=by))
            status = self._status(name)
        if was_over or status.state != "cancelled":
            # Perhaps only just: its end was written before the cancellation.
            raise JobEnded(
                f"{name} is {status.state}: there is nothing to cancel", hint=f"hcs-mesh jobs {name} shows its wells"
            )
        self._perform(self._scheduling.cancel_job(name))
        self._announce(
            JobStateChanged(plate_id=status.plate_id, plate_name=status.plate_name, job=name, state="cancelled")
        )
        return self._status(name)

    # -- wells ------------------------------------------------------------------------------------

    async def _take_up_all(self, waiting: deque[Job]) -> None:
        while waiting:
            job = waiting.popleft()
            try:
                await self._take_up(job)
            except MeshError as error:
                log.warning("a job cannot be taken up yet", job=job.job, reason=str(error))
                waiting.append(job)
                await asyncio.sleep(AGAIN_S)

    async def _take_up(self, job: Job) -> None:
        """Go on with a job of before the restart: what is in the repository is not computed again."""
        name, plate_id = job.job, job.submitted.plate_id
        if job.over:
            await self._end(name)
            return
        job.requeue()
        await self._threads.run(lambda: self._repository.sweep(name))
        for result in await self._threads.run(lambda: self._repository.results(name)):
            if result.well in job.unfinished:
                await self._write(
                    records.Kept(job=name, at_unix_s=time.time(), result=result, executor="", duration_s=0.0)
                )
        plate = await self._threads.run(lambda: self._repository.plate(plate_id))
        self._announce(JobStateChanged(plate_id=plate_id, plate_name=plate.name, job=name, state="running"))
        self._announce(
            PlanesCommitted(
                plate_id=plate_id, plate_name=plate.name, job=name, planes=acquired_planes(plate, job.submitted.wells)
            )
        )
        for result in await self._threads.run(lambda: self._repository.results(name)):
            self._announce_result(plate, result)
        if self._book.jobs[name].over:
            # Cancelled meanwhile.
            await self._end(name)
            return
        self._perform(self._scheduling.add_job(name, job.submitted.owner, job.unfinished, job.n_faults))

    def _executor_up(self, executor: str, pid: int) -> None:
        self._pids[executor] = pid
        self._up.set()
        self._up = asyncio.Event()
        self._perform(self._scheduling.executor_up(executor))

    def _perform(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Run(job=job, well=well, executor=executor):
                    self.context.spawn(self._run(job, well, executor))
                case Cancel(job=job, well=well, executor=executor):
                    self.context.spawn(self._stop_well(job, well, executor))
                case SetAside(job=job, well=well, error=error):
                    self.context.spawn(self._set_aside(job, well, error))
                case Ended(job=job):
                    self.context.spawn(self._end(job))

    async def _run(self, name: str, well: str, executor: str) -> None:
        job = self._book.jobs[name]
        pid = self._pids.get(executor, 0)
        attempt = job.n_attempts.get(well, 0) + 1
        plate_id = job.submitted.plate_id
        await self._write_surely(
            records.Attempted(job=name, at_unix_s=time.time(), well=well, attempt=attempt, executor=executor)
        )
        self._announce(WellStateChanged(plate_id=plate_id, job=name, well=well, state="running"))
        began = self.context.now()
        try:
            plate = await self._plate(plate_id)
            folder = await self._threads.run(lambda: self._repository.results_folder(plate_id, name, well, attempt))
        except MeshError as error:
            await self._failed(name, well, executor, str(error))
            return
        if job.over:
            # Cancelled meanwhile, and the executor has not heard of the well yet.
            self._perform(self._scheduling.well_failed(name, well, executor, job.reason, final=True))
            return
        request = RunWell(
            job=name,
            well=well,
            attempt=attempt,
            source=job.submitted.source,
            source_name=job.submitted.source_name,
            plate=plate.only((well,)),
            folder=str(folder),
        )
        try:
            await self.context.find(executor).ask(request, timeout_s=WELL_TIMEOUT_S)
        except AskFailed as error:
            if error.failure.blame == "actor":
                # A fault of the executor itself: its process is ending, and a new one will say that it is up.
                await self._lost(name, well, executor, pid, error)
            else:
                await self._failed(name, well, executor, str(error), final=not error.failure.retry)
            return
        except TransportError as error:
            if isinstance(error, AskTimedOut):
                self._end_executor(executor, f"well {well} of {name} took longer than {WELL_TIMEOUT_S:g} s")
            await self._lost(name, well, executor, pid, error)
            return
        # The next well need not wait for this one's commit.
        self._perform(self._scheduling.well_done(name, well, executor))
        try:
            result = await self._threads.run(lambda: self._repository.commit_well(plate_id, name, well, attempt))
        except MeshError as error:
            await self._failed(name, well, executor, str(error))
            return
        await self._write_surely(
            records.Kept(
                job=name,
                at_unix_s=time.time(),
                result=result,
                executor=executor,
                duration_s=self.context.now() - began,
            )
        )
        self._announce_result(plate, result)
        self._perform(self._scheduling.well_kept(name, well))

    async def _plate(self, plate_id: int) -> Plate:
        """What the cache says of a plate; one that dies over the question is asked again."""
        while True:
            with suppress(PeerGone, AskTimedOut):
                return await self.context.find("metadata").ask(GetPlate(plate_id=plate_id))

    async def _failed(self, name: str, well: str, executor: str, error: str, *, final: bool = False) -> None:
        await self._fault(name, well, error)
        self._perform(self._scheduling.well_failed(name, well, executor, error, final=final))

    async def _lost(self, name: str, well: str, executor: str, pid: int, error: MeshError) -> None:
        """The executor died over the well, or never got it, which the well is not charged for."""
        charged = not self._book.jobs[name].over and not isinstance(error, ActorUnknown)
        if charged:
            await self._fault(name, well, f"{executor} (process {pid}) died over it: {error}")
        self._perform(self._scheduling.executor_down(executor, str(error), blame_well=charged))
        if self._pids.get(executor, pid) != pid:
            # It came back while we were writing that down.
            self._perform(self._scheduling.executor_up(executor))
        elif self._pids.get(executor) == pid:
            del self._pids[executor]

    async def _fault(self, name: str, well: str, error: str) -> None:
        if not self._book.jobs[name].over:
            await self._write_surely(records.Faulted(job=name, at_unix_s=time.time(), well=well, error=error))

    async def _stop_well(self, job: str, well: str, executor: str) -> None:
        pid = self._pids.get(executor)
        self._tell_executor(executor, CancelWell(job=job, well=well))
        await asyncio.sleep(CANCEL_GRACE_S)
        if self._scheduling.is_at(executor, job, well) and self._pids.get(executor) == pid:
            self._end_executor(executor, f"{job} was cancelled and well {well} went on")

    def _tell_executor(self, executor: str, message: CancelWell) -> None:
        # One that is gone is at no well either.
        with suppress(ActorUnknown):
            self.context.find(executor).tell(message)

    async def _set_aside(self, name: str, well: str, error: str) -> None:
        async with self._ending:
            await self._write_surely(records.SetAside(job=name, at_unix_s=time.time(), well=well, error=error))
        self._announce(
            WellStateChanged(
                plate_id=self._book.jobs[name].submitted.plate_id, job=name, well=well, state="failed", error=error
            )
        )

    async def _end(self, name: str) -> None:
        """Leave nothing but the results; in the order of asking, since how it ends depends on what was set aside."""
        job = self._book.jobs[name]
        async with self._ending:
            try:
                await self._threads.run(lambda: self._repository.sweep(name))
            except MeshError as error:
                log.warning("unfinished attempts stay in the repository", job=name, reason=str(error))
            await self._write_surely(records.Ended(job=name, at_unix_s=time.time()))
        if job.state != "cancelled":
            self._announce(
                JobStateChanged(
                    plate_id=job.submitted.plate_id,
                    plate_name=job.submitted.plate_name,
                    job=name,
                    state=job.state,
                )
            )

    # -- telling ----------------------------------------------------------------------------------

    async def _write(self, record: Record) -> None:
        assert self._journal is not None, "the journal is opened in started()"
        await self._journal.append(record)
        self._book.apply(record)
        for waiting in self._changed.pop(record.job, ()):
            if not waiting.done():
                waiting.set_result(None)

    async def _write_surely(self, record: Record) -> None:
        """Write what nobody can be told to repeat; on a full disk it waits until there is room."""
        while True:
            try:
                return await self._write(record)
            except JournalFull as full:
                log.warning("a job waits for room on the disk", job=record.job, reason=str(full))
                await asyncio.sleep(AGAIN_S)

    def _announce(self, event: Event) -> None:
        try:
            self.context.find("publisher").tell(event)
        except (MailboxFull, ActorUnknown) as error:
            # Analysis does not depend on viewing: the results are in the repository all the same.
            self._n_unannounced += 1
            log.warning("viewers will not see this now", what=type(event).__name__, reason=str(error))

    def _announce_result(self, plate: Plate, result: StoredResult) -> None:
        planes = result_planes(result, plate)
        if planes:
            self._announce(PlanesCommitted(plate_id=plate.id, plate_name=plate.name, job=result.job, planes=planes))
        self._announce(
            WellStateChanged(
                plate_id=plate.id,
                job=result.job,
                well=result.well,
                state="done",
                n_objects=result.n_objects,
                measurements=result.measurements,
            )
        )
