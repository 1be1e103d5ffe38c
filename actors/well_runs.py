"""The runs of wells: what the scheduling decides, carried out on executors and committed to the repository."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from ..config import MeshError
from ..messages.compute import CancelWell, RunWell
from ..messages.frames import WellStateChanged
from ..messages.metadata import GetPlate
from ..plates.model import Plate
from ..plates.repository import Repository
from ..supervisors import Context
from ..transport import ActorUnknown, AskFailed, AskTimedOut, PeerGone, TransportError
from . import job_records as records
from .job_book import JobBook
from .job_endings import JobEndings
from .job_news import JobNews
from .job_records import Record
from .ledger import Ledger
from .scheduling import Cancel, Ended, Instruction, Run, Scheduling, SetAside
from .threads import Threads

WELL_TIMEOUT_S = 6 * 3600.0
CANCEL_GRACE_S = 2.0


class WellRuns:
    """Hands wells to executors, and charges what goes wrong to whom it belongs."""

    def __init__(
        self,
        context: Context,
        repository: Repository,
        threads: Threads,
        scheduling: Scheduling,
        book: JobBook,
        ledger: Ledger[Record],
        endings: JobEndings,
        news: JobNews,
        end_executor: Callable[[str, str], None],
    ) -> None:
        """Run by child tasks of the actor whose ``context`` it is; ``end_executor`` ends one, charged to nobody."""
        self._context = context
        self._repository = repository
        self._threads = threads
        self._scheduling = scheduling
        self._book = book
        self._ledger = ledger
        self._endings = endings
        self._news = news
        self._end_executor = end_executor
        self._pids: dict[str, int] = {}

    @property
    def n_executors(self) -> int:
        """Executors that are up."""
        return len(self._pids)

    def executor_up(self, executor: str, pid: int) -> None:
        """An executor is idle, in the process ``pid``."""
        self._pids[executor] = pid
        self.perform(self._scheduling.executor_up(executor))

    def executor_down(self, executor: str, pid: int) -> None:
        """The process ``pid`` of an executor has ended; an older one is known already."""
        if self._pids.get(executor) == pid:
            del self._pids[executor]
            # One that was at a well is reported by whoever waits for that well.
            self._scheduling.idle_executor_down(executor)

    def perform(self, instructions: list[Instruction]) -> None:
        """Do what the scheduling says, each in a task of its own."""
        for instruction in instructions:
            match instruction:
                case Run(job=job, well=well, executor=executor):
                    self._context.spawn(self._run(job, well, executor))
                case Cancel(job=job, well=well, executor=executor):
                    self._context.spawn(self._stop_well(job, well, executor))
                case SetAside(job=job, well=well, error=error):
                    self._context.spawn(self._endings.set_aside(job, well, error))
                case Ended(job=job):
                    self._context.spawn(self._endings.end(job))

    def cancel_well(self, executor: str, job: str, well: str) -> None:
        """Tell an executor that nobody wants this well."""
        # One that is gone is at no well either.
        with suppress(ActorUnknown):
            self._context.find(executor).tell(CancelWell(job=job, well=well))

    async def _run(self, name: str, well: str, executor: str) -> None:
        job = self._book.jobs[name]
        attempt = job.n_attempts.get(well, 0) + 1
        plate_id = job.submitted.plate_id
        await self._ledger.write_surely(
            records.Attempted(job=name, at_unix_s=time.time(), well=well, attempt=attempt, executor=executor)
        )
        self._news.tell(WellStateChanged(plate_id=plate_id, job=name, well=well, state="running"))
        began = self._context.now()
        try:
            plate = await self._plate(plate_id)
            folder = await self._threads.run(lambda: self._repository.results_folder(plate_id, name, well, attempt))
        except MeshError as error:
            await self._failed(name, well, executor, str(error))
            return
        if job.over:
            # Cancelled meanwhile, and the executor has not heard of the well yet.
            self.perform(self._scheduling.well_failed(name, well, executor, job.reason, final=True))
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
        # The process that gets the well, not the one that was up when it was handed out.
        pid = self._pids.get(executor, 0)
        try:
            await self._context.find(executor).ask(request, timeout_s=WELL_TIMEOUT_S)
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
        self.perform(self._scheduling.well_done(name, well, executor))
        try:
            result = await self._threads.run(lambda: self._repository.commit_well(plate_id, name, well, attempt))
        except MeshError as error:
            await self._failed(name, well, executor, str(error))
            return
        await self._ledger.write_surely(
            records.Kept(
                job=name,
                at_unix_s=time.time(),
                result=result,
                executor=executor,
                duration_s=self._context.now() - began,
            )
        )
        self._news.result(plate, result)
        self.perform(self._scheduling.well_kept(name, well))

    async def _plate(self, plate_id: int) -> Plate:
        """What the cache says of a plate; one that dies over the question is asked again."""
        while True:
            # It comes back under the same name, and its mailbox keeps the question until then.
            with suppress(PeerGone, AskTimedOut):
                return await self._context.find("metadata").ask(GetPlate(plate_id=plate_id))

    async def _failed(self, name: str, well: str, executor: str, error: str, *, final: bool = False) -> None:
        await self._fault(name, well, error)
        self.perform(self._scheduling.well_failed(name, well, executor, error, final=final))

    async def _lost(self, name: str, well: str, executor: str, pid: int, error: MeshError) -> None:
        """The executor died over the well, or never got it, which the well is not charged for."""
        charged = not self._book.jobs[name].over and not isinstance(error, ActorUnknown)
        if charged:
            await self._fault(name, well, f"{executor} (process {pid}) died over it: {error}")
        self.perform(self._scheduling.executor_down(executor, str(error), blame_well=charged))
        if self._pids.get(executor, pid) != pid:
            # It came back while we were writing that down.
            self.perform(self._scheduling.executor_up(executor))
        elif self._pids.get(executor) == pid:
            del self._pids[executor]

    async def _fault(self, name: str, well: str, error: str) -> None:
        if not self._book.jobs[name].over:
            await self._ledger.write_surely(records.Faulted(job=name, at_unix_s=time.time(), well=well, error=error))

    async def _stop_well(self, job: str, well: str, executor: str) -> None:
        pid = self._pids.get(executor)
        self.cancel_well(executor, job, well)
        await asyncio.sleep(CANCEL_GRACE_S)
        if self._scheduling.is_at(executor, job, well) and self._pids.get(executor) == pid:
            self._end_executor(executor, f"{job} was cancelled and well {well} went on")
