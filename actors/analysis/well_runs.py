"""The runs of wells: what the scheduling decides, carried out on executors and committed to the repository."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from ...config import MeshError
from ...messages.compute import CancelWell, RunWell
from ...messages.frames import WellStateChanged
from ...messages.metadata import GetPlate
from ...plates.model import Plate
from ...plates.repository import StoredResult, WellResults
from ...supervisors import Context
from ...transport import ActorUnknown, AskFailed, AskTimedOut, PeerAnew, PeerGone
from ..errors import MeshFault
from ..ledger import Ledger
from ..mishaps import faults_as_errors
from ..threads import Threads
from . import job_records as records
from .job_book import JobBook
from .job_endings import JobEndings
from .job_news import JobNews
from .job_records import Record
from .login_waits import LoginWaits
from .open_job import Job
from .patience import (
    Patience,
    is_of_home,
    is_of_the_disk,
    may_pass,
    may_pass_at_an_executor,
    may_pass_before_an_executor,
    waits_for_home,
)
from .scheduling import Cancel, Ended, Instruction, Run, Scheduling, SetAside, is_elsewhere

WELL_TIMEOUT_S = 6 * 3600.0
CANCEL_GRACE_S = 2.0
NO_EXECUTOR = "waiting: no executor is up (hcs-mesh ps shows why)"
NONE_HERE = "waiting: its plate is read on the mesh's own host alone, and no executor is up there"
_HERE = "executors here"
"""What a job as a whole may wait for, beside its wells."""

T = TypeVar("T")


class _NotWanted(MeshError, RuntimeError):
    """The job was cancelled before its well was handed out."""


class WellRuns:
    """Hands wells to executors, and charges what goes wrong to whom it belongs."""

    def __init__(
        self,
        context: Context,
        results: WellResults,
        threads: Threads,
        scheduling: Scheduling,
        book: JobBook,
        ledger: Ledger[Record],
        endings: JobEndings,
        news: JobNews,
        end_executor: Callable[[str, str], None],
        charge_executor: Callable[[str, str], None],
        patience: Patience,
        away: Callable[[int, str], str],
    ) -> None:
        """Run by child tasks of the actor whose ``context`` it is.

        ``end_executor`` ends one, charged to nobody; ``charge_executor`` says who pays if it dies now: the well
        that it is at, or itself. ``patience`` is for trouble that is not the well's. ``away`` says why nothing of a
        plate can be done in its owner's name, if there is a reason.
        """
        self._context = context
        self._results = results
        self._threads = threads
        self._scheduling = scheduling
        self._book = book
        self._ledger = ledger
        self._endings = endings
        self._news = news
        self._end_executor = end_executor
        self._charge = charge_executor
        self._patience = patience
        self._pids: dict[str, int] = {}
        self._logins = LoginWaits(context, scheduling, book, ledger, patience, away, self.perform)

    @property
    def n_executors(self) -> int:
        """Executors that are up."""
        return len(self._pids)

    def executor_up(self, executor: str, pid: int) -> None:
        """An executor is idle, in the process ``pid``."""
        self._pids[executor] = pid
        self.note_executors()
        self.perform(self._scheduling.executor_up(executor))

    def executor_down(self, executor: str, pid: int) -> None:
        """The process ``pid`` of an executor has ended; an older one is known already."""
        if self._pids.get(executor) == pid:
            del self._pids[executor]
            # One that was at a well is reported by whoever waits for that well.
            self._scheduling.idle_executor_down(executor)
        self.note_executors()

    def note_executors(self) -> None:
        """Let every job say that it waits, while there is nobody to compute its wells."""
        for name in self._book.all_wait_for("" if self._pids else NO_EXECUTOR):
            self._ledger.changes.tell(name)
        none_here = bool(self._pids) and all(map(is_elsewhere, self._pids))
        for name in self._scheduling.jobs_here_only():
            if name in self._book.jobs:
                self._hinder(self._book.jobs[name], _HERE, NONE_HERE if none_here else "")

    def logged_in(self, user: str) -> None:
        """Look at once whether the jobs of a person can go on that wait for a login."""
        self._logins.logged_in(user)

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
        plate_id, owner = job.submitted.plate_id, job.submitted.owner
        # From here on: whoever ends it now ends the well.
        self._charge(executor, f"well {well or 'image'} of {name}")
        await self._ledger.write_surely(
            records.Attempted(job=name, at_unix_s=time.time(), well=well, attempt=attempt, executor=executor)
        )
        self._news.tell(WellStateChanged(plate_id=plate_id, job=name, well=well, state="running"))
        began = self._context.now()
        try:
            plate = await self._insist(
                job,
                well,
                lambda: self._context.find("metadata").ask(GetPlate(plate_id=plate_id, requester=owner)),
                may_pass_before_an_executor,
            )
        except MeshError as error:
            await self._failed(name, well, executor, error, final=not may_pass(error))
            return

        # The process that gets the well, not the one that was up when it was handed out.
        pid = self._pids.get(executor, 0)

        async def compute() -> None:
            nonlocal pid
            with faults_as_errors(job=name, well=well):
                folder = await self._threads.run(
                    lambda: self._results.results_folder(plate_id, name, well, attempt, requester=owner)
                )
            if job.over:
                # Cancelled meanwhile, and the executor has not heard of the well yet.
                raise _NotWanted(job.reason)
            request = RunWell(
                job=name,
                well=well,
                attempt=attempt,
                source=job.submitted.source,
                source_name=job.submitted.source_name,
                plate=plate.only((well,)),
                folder=str(folder),
                owner=job.submitted.owner,
            )
            pid = self._pids.get(executor, 0)
            await self._context.find(executor).ask(request, timeout_s=WELL_TIMEOUT_S)

        try:
            await self._insist(job, well, compute, may_pass_at_an_executor)
        except (PeerGone, ActorUnknown) as error:
            await self._lost(name, well, executor, pid, error)
            return
        except AskTimedOut as error:
            self._end_executor(executor, f"well {well} of {name} took longer than {WELL_TIMEOUT_S:g} s")
            await self._lost(name, well, executor, pid, error)
            return
        except AskFailed as error:
            if error.failure.blame == "actor":
                # A fault of the executor itself: what state its device is in nobody knows, so a new one takes over.
                self._end_executor(executor, f"well {well} of {name} met a fault: {error}")
                await self._lost(name, well, executor, pid, error)
            else:
                await self._failed(
                    name, well, executor, error, final=not (error.failure.retry or is_of_the_disk(error))
                )
            return
        except MeshError as error:
            # It lives, and does not take this well: for good, unless only the disk was in the way, or what nobody had
            # thought of, as memory that was short.
            await self._failed(name, well, executor, error, final=not (may_pass(error) or isinstance(error, MeshFault)))
            return
        self._logins.got_on(name)
        if not self._is_wanted(job):
            await self._failed(name, well, executor, _NotWanted(job.reason), final=True)
            return
        # The next well need not wait for this one's commit.
        self._charge(executor, "child")
        self.perform(self._scheduling.well_done(name, well, executor))
        await self._keep(job, plate, well, attempt, executor, began)

    def _is_wanted(self, job: Job) -> bool:
        """Whether a result may still be committed: a job may be cancelled while its executor cannot be told."""
        return not job.over

    async def _keep(self, job: Job, plate: Plate, well: str, attempt: int, executor: str, began: float) -> None:
        """Commit what an executor has sealed."""
        name, plate_id, owner = job.job, job.submitted.plate_id, job.submitted.owner

        async def commit() -> StoredResult:
            with faults_as_errors(job=name, well=well):
                return await self._threads.run(
                    lambda: self._results.commit_well(plate_id, name, well, attempt, requester=owner)
                )

        try:
            result = await self._insist(job, well, commit, may_pass)
        except MeshError as error:
            await self._failed(name, well, "", error)
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

    async def _insist(
        self, job: Job, well: str, work: Callable[[], Awaitable[T]], passes: Callable[[MeshError], bool]
    ) -> T:
        """Do what may fail for reasons that are not the well's; while those last the job says what it waits for.

        Raises:
            MeshError: it does not pass, has not passed in time, or nobody wants the job any more.
        """
        try:
            for n_before in itertools.count():
                try:
                    return await work()
                except MeshError as error:
                    if job.over or not passes(error):
                        raise
                    if self._patience.is_over(error, n_before) and not await self._is_home_away(job, error):
                        raise
                    self._hinder(job, well, f"waiting: {error}")
                    await self._wait(job, self._patience.wait_s(n_before))
            raise AssertionError("there is always another try")
        finally:
            self._hinder(job, well, "")

    async def _is_home_away(self, job: Job, error: MeshError) -> bool:
        """Whether a failure is no more than that nothing can be done now where the plate lies."""
        return waits_for_home(error) or (is_of_home(error) and bool(await self._logins.why_away(job)))

    async def _wait(self, job: Job, wait_s: float) -> None:
        """Wait so long, or until nobody wants the job any more."""
        until = self._context.now() + wait_s
        while not job.over and (left_s := until - self._context.now()) > 0.0:
            await self._ledger.changes.wait(job.job, left_s)

    def _hinder(self, job: Job, well: str, reason: str) -> None:
        if job.hinder(well, reason):
            self._ledger.changes.tell(job.job)

    async def _failed(self, name: str, well: str, executor: str, error: MeshError, *, final: bool = False) -> None:
        """The well could not be computed or kept; ``executor``, if one is still at it, lives and is idle."""
        job = self._book.jobs.get(name)
        if executor and job is not None and await self._is_home_away(job, error):
            # Its job waits for its owner or a server, and its executor for nobody.
            self._charge(executor, "child")
            await self._logins.hold(job, well, executor, error)
            return
        await self._fault(name, well, str(error))
        if executor:
            self._charge(executor, "child")
        self.perform(self._scheduling.well_failed(name, well, executor, str(error), final=final))

    async def _lost(self, name: str, well: str, executor: str, pid: int, error: MeshError) -> None:
        """The executor died over the well, or cannot be reached, for which the well goes free a few times."""
        # By then its host is joined again; in a container every life of it has the same pids.
        is_back = isinstance(error, PeerAnew)
        if self._pids.get(executor) == pid and not is_back:
            # Before anything is waited for: whoever says from here on that it is up means another life of it.
            del self._pids[executor]
        spared = isinstance(error, ActorUnknown) and self._scheduling.spares(name, well, executor)
        charged = not self._book.is_over(name) and not spared
        if charged:
            what = "was lost with it" if isinstance(error, ActorUnknown) else f"(process {pid}) died over it"
            await self._fault(name, well, f"{executor} {what}: {error}")
        self.perform(self._scheduling.executor_down(executor, str(error), blame_well=charged))
        if executor in self._pids:
            # It came back while we were writing that down.
            self.perform(self._scheduling.executor_up(executor))
        self.note_executors()

    async def _fault(self, name: str, well: str, error: str) -> None:
        if not self._book.is_over(name):
            await self._ledger.write_surely(records.Faulted(job=name, at_unix_s=time.time(), well=well, error=error))

    async def _stop_well(self, job: str, well: str, executor: str) -> None:
        """Have a well given up, however long its executor cannot be told: what is said into a break is lost."""
        while self._scheduling.is_at(executor, job, well):
            pid = self._pids.get(executor)
            self.cancel_well(executor, job, well)
            await asyncio.sleep(CANCEL_GRACE_S)
            if pid and self._scheduling.is_at(executor, job, well) and self._pids.get(executor) == pid:
                self._end_executor(executor, f"{job} was cancelled and well {well} went on")
