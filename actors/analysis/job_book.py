"""Every job that the journal knows: records in, statuses out (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from ...messages.compute import JobState, JobStatus, JobSummary
from ...messages.listing import bounded, newest_first, number_of
from ..retention import Retention, outlived
from .ended_job import EndedJob, summed_up
from .job_records import Forgotten, Kept, Record, Submitted, Summary
from .open_job import Job


class JobBook:
    """Every job, ended or not."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        """Those of which something is left to do."""
        self.n_of_old_form = 0
        """Ended jobs whose summaries were written before statuses were packed."""
        self._ended: dict[str, EndedJob] = {}
        self._forgotten: dict[str, Forgotten] = {}
        # A key is its owner's own: who guesses another's must neither learn of his job nor be taken for him.
        self._by_key: dict[tuple[str, str], str] = {}
        self._last_number = 0
        self._n_wells_kept = 0
        self._waits_for = ""

    def all_wait_for(self, reason: str) -> tuple[str, ...]:
        """Note what every running job waits for, nothing if empty; returns those for which that is news."""
        if reason == self._waits_for:
            return ()
        self._waits_for = reason
        running = [job for job in self.jobs.values() if not job.over]
        for job in running:
            job.revision += 1
        return tuple(job.job for job in running)

    def apply(self, record: Record) -> None:
        """Take a record in."""
        self._last_number = max(self._last_number, number_of(record.job))
        match record:
            case Submitted():
                self.jobs[record.job] = Job(record)
                self._by_key[record.owner, record.key] = record.job
            case Summary():
                self.jobs.pop(record.job, None)
                self._ended[record.job] = ended = EndedJob(record)
                self._by_key[ended.listed.owner, record.key] = record.job
                self.n_of_old_form += record.listed is None
            case Forgotten():
                self._forget(record)
            case _ if record.job in self.jobs:
                self._n_wells_kept += isinstance(record, Kept)
                # Of one that has ended, nothing that was on its way changes anything any more.
                self._move(self.jobs[record.job], record)

    def _move(self, job: Job, record: Record) -> None:
        job.apply(record)
        if job.closed:
            # The wells of a whole plate are a megabyte of objects, and nobody works with them any more.
            del self.jobs[job.job]
            self._ended[job.job] = EndedJob(summed_up(job.status(), job.key, job.finished_at_unix_s))

    def _forget(self, record: Forgotten) -> None:
        ended = self._ended.pop(record.job, None)
        owner, key = record.owner, record.key
        if ended is not None:
            owner, key = ended.listed.owner, ended.summary.key
        self._by_key[owner, key] = record.job
        self._forgotten[record.job] = msgspec.structs.replace(record, owner=owner, key=key)

    def is_over(self, name: str) -> bool:
        """Whether nothing will change a job any more."""
        return name not in self.jobs or self.jobs[name].over

    def status(self, name: str) -> JobStatus | None:
        """How a job stands; None if there is no such job."""
        if name in self.jobs:
            status = self.jobs[name].status()
            reason = self._instead(status.state)
            return msgspec.structs.replace(status, reason=reason) if reason else status
        return self._ended[name].status() if name in self._ended else None

    def listed(
        self,
        *,
        limit: int,
        before: str,
        state: JobState | str,
        shown: Callable[[str, int], bool] = lambda owner, plate_id: True,
    ) -> tuple[JobSummary, ...]:
        """The newest jobs in this state, or in any, the newest first, from below ``before`` on.

        Those alone that are ``shown``, which is asked by owner and plate.
        """
        names = newest_first([*self.jobs, *self._ended], before=before)
        lines = (
            self._line(name)
            for name in names
            if (not state or self._state(name) == state) and shown(*self._whose(name))
        )
        return tuple(islice(lines, bounded(limit)))

    def ended(self) -> Iterator[JobSummary]:
        """The jobs that are over and not forgotten, the oldest first."""
        return (job.listed for job in self._ended.values())

    def _state(self, name: str) -> JobState:
        return self.jobs[name].state if name in self.jobs else self._ended[name].listed.state

    def _whose(self, name: str) -> tuple[str, int]:
        of = self.jobs[name].submitted if name in self.jobs else self._ended[name].listed
        return of.owner, of.plate_id

    def _line(self, name: str) -> JobSummary:
        if name not in self.jobs:
            return self._ended[name].listed
        line = self.jobs[name].status(with_source=False).listed()
        reason = self._instead(line.state)
        return msgspec.structs.replace(line, reason=reason) if reason else line

    def _instead(self, state: JobState) -> str:
        return self._waits_for if state == "running" else ""

    def new_id(self) -> str:
        """An id that no job has had."""
        self._last_number += 1
        return f"job-{self._last_number:04d}"

    def by_key(self, owner: str, key: str) -> str | None:
        """The job that ``owner`` submitted under this key, if any; others' keys are others'."""
        return self._by_key.get((owner, key)) if owner else None

    def outlived(self, retention: Retention, now_unix_s: float) -> tuple[str, ...]:
        """The ended jobs that are to be forgotten."""
        return outlived(((name, one.ended_at_unix_s) for name, one in self._ended.items()), retention, now_unix_s)

    def drop_old_keys(self, retention: Retention, now_unix_s: float) -> None:
        """Let the keys go that nobody asks under any more, but the last job's: no job gets its id a second time."""
        last = max(map(number_of, [*self.jobs, *self._ended, *self._forgotten]), default=0)
        for name, forgotten in list(self._forgotten.items()):
            if forgotten.at_unix_s < now_unix_s - retention.key_s and number_of(name) < last:
                del self._forgotten[name]
                self._by_key.pop((forgotten.owner, forgotten.key), None)

    def statistics(self) -> dict[str, int | float | str]:
        """How much is remembered, and of how many wells the journal says that results were kept."""
        return {
            "wells_kept": self._n_wells_kept,
            "jobs_ended": len(self._ended),
            "jobs_ended_bytes": sum(len(one.summary.packed) for one in self._ended.values()),
            "keys": len(self._by_key),
        }

    def compacted(self) -> tuple[Record, ...]:
        """The records that a checkpoint needs."""
        ended: list[Record] = [one.summary for one in self._ended.values()]
        for job in self.jobs.values():
            if job.over:
                summary = summed_up(job.status(), job.key, job.finished_at_unix_s)
                ended.append(summary)
            else:
                ended.extend(job.records)
        return (*self._forgotten.values(), *ended)
