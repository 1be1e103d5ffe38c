"""The demo's accident: an executor is killed half way, and the recovery is timed."""

from __future__ import annotations

import os
import signal
import time

from ..commands import Commands
from ..messages.compute import JobStatus, WellStatus

KILL = signal.SIGKILL if os.name == "posix" else signal.SIGTERM


class Accident:
    """Kills one executor once enough wells are done, and notes when its well and it itself were back."""

    def __init__(self, *, after: float) -> None:
        """Strike when this share of the wells is done."""
        self._after = after
        self._killed_at_s = 0.0
        self._attempt = 0
        self.executor = ""
        self.pid = 0
        self.well = ""
        self.well_again_s: float | None = None
        """From the kill until the well that was lost was being computed again."""
        self.executor_again_s: float | None = None
        """From the kill until the executor was back at work; None where nothing was left for it to do."""

    @property
    def happened(self) -> bool:
        """Whether an executor was killed."""
        return bool(self.pid)

    async def watch(self, mesh: Commands, job: JobStatus) -> None:
        """Take note of one status of the job, and strike when it is time."""
        running = [well for well in job.wells if well.state == "running" and well.executor]
        if self.happened:
            self._note(job, running)
        elif running and sum(well.state == "done" for well in job.wells) >= self._after * len(job.wells):
            await self._strike(mesh, running[-1])

    async def _strike(self, mesh: Commands, victim: WellStatus) -> None:
        pids = {row.name: row.pid for row in await mesh.tree() if row.kind == "process"}
        pid = pids.get(victim.executor)
        if pid:
            self.executor, self.pid, self.well, self._attempt = victim.executor, pid, victim.well, victim.attempts
            self._killed_at_s = time.monotonic()
            os.kill(pid, KILL)

    def _note(self, job: JobStatus, running: list[WellStatus]) -> None:
        since_s = time.monotonic() - self._killed_at_s
        lost = next(well for well in job.wells if well.well == self.well)
        at_it = [well for well in running if well.executor == self.executor]
        if lost.state == "done" and lost.attempts == self._attempt:
            # It had handed the well in before it died: what it had come to by then was lost, or nothing was.
            lost_instead = job.faults[0].partition(":")[0] if job.faults else at_it[0].well if at_it else ""
            if not lost_instead:
                self.pid = 0
                return
            self.well, self._attempt = lost_instead, 1
            lost = next(well for well in job.wells if well.well == self.well)
        if self.well_again_s is None and lost.attempts > self._attempt:
            self.well_again_s = since_s
        # Until the hub has heard of the death, the lost well still counts as the dead executor's.
        back = any((well.well, well.attempts) != (self.well, self._attempt) for well in at_it)
        if self.executor_again_s is None and job.faults and back:
            self.executor_again_s = since_s
