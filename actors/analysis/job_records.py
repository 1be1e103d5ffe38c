"""What the journal holds of jobs: one record for each thing that must survive."""

from __future__ import annotations

import msgspec

from ...messages.compute import JobSummary
from ...plates.repository import StoredResult


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one job."""

    job: str
    at_unix_s: float


class Submitted(JobRecord, frozen=True, kw_only=True, tag="job.submitted"):
    """Somebody wants a pipeline run; it fits the plate."""

    key: str
    plate_id: int
    plate_name: str
    pipeline: str
    source: str
    source_name: str
    owner: str
    wells: tuple[str, ...]


class Attempted(JobRecord, frozen=True, kw_only=True, tag="job.attempted"):
    """An executor is about to be given a well; the number names the folder that the attempt writes to."""

    well: str
    attempt: int
    executor: str


class Faulted(JobRecord, frozen=True, kw_only=True, tag="job.faulted"):
    """An attempt at a well failed, or ended the executor that made it."""

    well: str
    error: str


class Kept(JobRecord, frozen=True, kw_only=True, tag="job.kept"):
    """A well's result is committed in the repository."""

    result: StoredResult
    executor: str
    duration_s: float


class SetAside(JobRecord, frozen=True, kw_only=True, tag="job.set_aside"):
    """A well has failed for the last time."""

    well: str
    error: str


class Cancelled(JobRecord, frozen=True, kw_only=True, tag="job.cancelled"):
    """Nobody wants the job any more."""

    by: str


class Ended(JobRecord, frozen=True, kw_only=True, tag="job.ended"):
    """Nothing of the job is left to do."""


class Forgotten(JobRecord, frozen=True, kw_only=True, tag="job.forgotten"):
    """Off the list by its age or by the number of those behind it; its results stay, and its key for a while."""

    key: str = ""
    owner: str = ""
    """Who had submitted it under the key; empty in records from before it was noted: nobody's key then."""


class Summary(JobRecord, frozen=True, kw_only=True, tag="job.summary"):
    """An ended job as a checkpoint keeps it: its line of the list, and its status, packed.

    ``status`` is the status as it is, from before it was packed.
    """

    key: str
    status: bytes = b""
    packed: bytes = b""
    listed: JobSummary | None = None


Record = Submitted | Attempted | Faulted | Kept | SetAside | Cancelled | Ended | Forgotten | Summary
