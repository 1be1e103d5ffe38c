"""One job that has not ended: records in, its status out (pure)."""

from __future__ import annotations

import msgspec

from ...messages.compute import JobState, JobStatus, WellStatus
from ...plates.repository import StoredResult
from .job_records import Attempted, Cancelled, Ended, Faulted, Kept, Record, SetAside, Submitted


class Job:
    """One job that has not been summed up."""

    def __init__(self, submitted: Submitted) -> None:
        self.submitted = submitted
        self.job = submitted.job
        self.key = submitted.key
        self.state: JobState = "running"
        self.reason = ""
        self.closed = False
        """Nothing is left to do for it, not even to clean up."""
        self.finished_at_unix_s = 0.0
        self.faults: list[str] = []
        self.n_faults: dict[str, int] = {}
        self.n_attempts: dict[str, int] = {}
        self.revision = 0
        self._hindrances: dict[str, str] = {}
        self.records: list[Record] = [submitted]
        self._wells = {well: WellStatus(well=well) for well in submitted.wells}

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The wells that still are to be computed."""
        return tuple(well for well, status in self._wells.items() if status.state in ("queued", "running"))

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state != "running"

    def hinder(self, well: str, reason: str) -> bool:
        """Note what a well waits for that is not its own, nothing if empty; whether that is news."""
        if self._hindrances.get(well, "") == reason:
            return False
        self._hindrances.pop(well, None)
        if reason:
            self._hindrances[well] = reason
        self.revision += 1
        return True

    def apply(self, record: Record) -> None:
        """Move by one record."""
        self.revision += 1
        self.records.append(record)
        if self.over and not isinstance(record, Kept | Ended):
            # What was on its way when the job ended changes nothing any more.
            self.records.clear()
            return
        match record:
            case Attempted(well=well, attempt=attempt, executor=executor):
                self.n_attempts[well] = attempt
                self._change(well, state="running", attempts=attempt, executor=executor)
            case Faulted(well=well, error=error):
                self.n_faults[well] = self.n_faults.get(well, 0) + 1
                self.faults.append(f"{well or 'image'}: {error}")
                self._change(well, state="queued", error=error)
            case Kept(result=result, executor=executor, duration_s=duration_s):
                self._keep(result, executor, duration_s)
            case SetAside(well=well, error=error):
                self._change(well, state="failed", error=error)
            case Cancelled(by=by):
                self.state, self.reason = "cancelled", f"cancelled by {by}" if by else "cancelled"
                self.finished_at_unix_s = record.at_unix_s
                for well in self.unfinished:
                    self._change(well, state="cancelled")
            case Ended():
                self.closed = True
                failed = [status for status in self._wells.values() if status.state == "failed"]
                if self.state == "running":
                    self.finished_at_unix_s = record.at_unix_s
                    self.state = "failed" if failed else "done"
                if failed and not self.reason:
                    self.reason = (
                        f"{len(failed)} of {len(self._wells)} wells failed; {failed[0].well}: {failed[0].error}"
                    )

        if self.over:
            # A checkpoint keeps the status alone from here on.
            self.records.clear()

    def requeue(self) -> None:
        """What was running when the process ended is to be computed again."""
        for well, status in self._wells.items():
            if status.state == "running":
                self._wells[well] = msgspec.structs.replace(status, state="queued", executor="")

    def put_back(self, well: str) -> None:
        """A well that is not in work any more, and has not failed either; after a crash it is so by itself."""
        if self._wells[well].state == "running":
            self._change(well, state="queued", executor="")
            self.revision += 1

    def status(self, *, with_source: bool = True) -> JobStatus:
        """How it stands, as a message."""
        submitted = self.submitted
        return JobStatus(
            job=self.job,
            plate_id=submitted.plate_id,
            plate_name=submitted.plate_name,
            pipeline=submitted.pipeline,
            source=submitted.source if with_source else "",
            source_name=submitted.source_name,
            owner=submitted.owner,
            state=self.state,
            reason=self.reason or next(iter(self._hindrances.values() if self.state == "running" else ()), ""),
            submitted_at_unix_s=submitted.at_unix_s,
            finished_at_unix_s=self.finished_at_unix_s,
            wells=tuple(self._wells.values()),
            faults=tuple(self.faults),
            revision=self.revision,
        )

    def _keep(self, result: StoredResult, executor: str, duration_s: float) -> None:
        self._change(
            result.well,
            state="done",
            n_objects=result.n_objects,
            measurements=result.measurements,
            executor=executor,
            duration_s=duration_s,
            folder=result.folder,
            files=tuple(file.path for file in result.files),
            notes=result.notes,
            error="",
        )

    def _change(self, well: str, **fields: object) -> None:
        self._wells[well] = msgspec.structs.replace(self._wells[well], **fields)
