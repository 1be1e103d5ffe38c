"""Where jobs wait for their owners to log in, or for a server to be back, without an executor waiting with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ...supervisors import Context
from ..apart import run_apart
from .open_job import Job

HOME = "its plate's home"
"""Among what a job waits for, beside its wells."""
FIRST_LOOK_S = 1.0
LONGEST_LOOK_S = 10.0
_LOOKS_AT_ONCE = 4


class Parking:
    """Looks, for each job in it, whether it can go on."""

    def __init__(
        self,
        context: Context,
        away: Callable[[int, str], str],
        hinder: Callable[[Job, str, str], None],
        wait: Callable[[Job, float], Awaitable[None]],
        go_on: Callable[[Job], None],
    ) -> None:
        """Look by ``away``; ``hinder`` notes what a job waits for, ``wait`` ends early where nobody wants it."""
        self._context = context
        self._away = away
        self._hinder = hinder
        self._wait = wait
        self._go_on = go_on
        self._parked: set[str] = set()
        # A server that does not answer holds up as many threads as this, and not one for each job.
        self._looking = asyncio.Semaphore(_LOOKS_AT_ONCE)

    def begin(self, job: Job, reason: str) -> None:
        """Let a job wait; nothing happens if it does already."""
        if job.job not in self._parked:
            self._parked.add(job.job)
            self._hinder(job, HOME, f"waiting: {reason}")
            self._context.spawn(self._until_it_goes_on(job))

    async def why_away(self, job: Job) -> str:
        """Why nothing can be done in a job's owner's name now; empty where it can."""
        plate_id, owner = job.submitted.plate_id, job.submitted.owner
        async with self._looking:
            return await run_apart(lambda: self._away(plate_id, owner), f"look for {job.job}")

    async def _until_it_goes_on(self, job: Job) -> None:
        try:
            wait_s = FIRST_LOOK_S
            # Not without a pause: what comes and goes is not asked all the time.
            await self._wait(job, wait_s)
            while not job.over and (reason := await self.why_away(job)):
                self._hinder(job, HOME, f"waiting: {reason}")
                await self._wait(job, wait_s)
                wait_s = min(2.0 * wait_s, LONGEST_LOOK_S)
        finally:
            self._parked.discard(job.job)
            self._hinder(job, HOME, "")
        self._go_on(job)
