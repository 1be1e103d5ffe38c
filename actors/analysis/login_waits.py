"""Jobs in whose owner's name nothing can be done where the plate lies: held without end, and taken up again then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...config import MeshError
from ...messages.metadata import GetPlate
from ...supervisors import Context
from ..apart import run_apart
from ..ledger import Ledger
from .job_book import JobBook
from .job_records import Record
from .open_job import Job
from .patience import Patience, waits_for_home
from .scheduling import Instruction, Scheduling

LOOKS_AT_ONCE = 4
_LOGIN = "login"
"""What a job as a whole waits for, beside its wells."""


class LoginWaits:
    """Holds a job without an executor, and looks now and then whether somebody may act for its owner again."""

    def __init__(
        self,
        context: Context,
        scheduling: Scheduling,
        book: JobBook,
        ledger: Ledger[Record],
        patience: Patience,
        away: Callable[[int, str], str],
        perform: Callable[[list[Instruction]], None],
    ) -> None:
        """Wait by tasks of the actor whose ``context`` it is, and have ``perform`` done what follows.

        ``away`` says why nothing of a plate can be done in somebody's name, if there is a reason; it blocks.
        """
        self._context = context
        self._scheduling = scheduling
        self._book = book
        self._ledger = ledger
        self._patience = patience
        self._away = away
        # A server that does not answer holds up as many threads as this, and not one for each job.
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._perform = perform
        self._held: dict[str, bool] = {}
        """The jobs that wait, and whether their owner has come meanwhile."""
        self._n_holds: dict[str, int] = {}

    def logged_in(self, user: str) -> None:
        """Look at once whether the jobs of a person can go on."""
        for name in self._held:
            if name in self._book.jobs and self._book.jobs[name].submitted.owner == user:
                self._held[name] = True
                self._ledger.changes.tell(name)

    def got_on(self, name: str) -> None:
        """A well of this job was computed: the next wait begins with a short one."""
        self._n_holds.pop(name, None)

    async def hold(self, job: Job, well: str, executor: str, error: MeshError) -> None:
        """Take a well back that nobody is charged for, let its job wait, and go on with it once it may."""
        name = job.job
        job.put_back(well)
        waits_already = name in self._held
        self._held.setdefault(name, False)
        self._perform(self._scheduling.hold_job(name, well, executor))
        if waits_already:
            return
        # From one to the next: what is told from memory may say for a minute that all is well.
        self._n_holds[name] = n_before = self._n_holds.get(name, -1) + 1
        try:
            waits = str(error)
            while waits and not job.over:
                self._hinder(job, f"waiting: {waits}")
                await self._wait(job, self._patience.wait_s(n_before))
                n_before += 1
                waits = await self._still_waits(job)
        finally:
            del self._held[name]
            self._hinder(job, "")
        if job.over:
            self.got_on(name)
        self._perform(self._scheduling.release_job(name))

    async def why_away(self, job: Job) -> str:
        """Why nothing can be done in the name of a job's owner now; empty where it can."""
        plate_id, owner = job.submitted.plate_id, job.submitted.owner
        async with self._looking:
            return await run_apart(lambda: self._away(plate_id, owner), f"look for {job.job}")

    async def _still_waits(self, job: Job) -> str:
        """Why nothing can be done for the owner; empty also where something else is wrong, for a well to say."""
        if reason := await self.why_away(job):
            return reason
        request = GetPlate(plate_id=job.submitted.plate_id, requester=job.submitted.owner)
        try:
            await self._context.find("metadata").ask(request)
        except MeshError as error:
            return str(error) if waits_for_home(error) else ""
        return ""

    async def _wait(self, job: Job, wait_s: float) -> None:
        """Wait so long, or until the owner comes or nobody wants the job any more."""
        until = self._context.now() + wait_s
        while not job.over and not self._held[job.job] and (left_s := until - self._context.now()) > 0.0:
            await self._ledger.changes.wait(job.job, left_s)
        self._held[job.job] = False

    def _hinder(self, job: Job, reason: str) -> None:
        if job.hinder(_LOGIN, reason):
            self._ledger.changes.tell(job.job)
