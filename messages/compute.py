"""The conversation about analysis: submit a pipeline for a plate, follow its wells, and what executors are asked."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ..plates.model import Plate
from ..plates.repository import StoredResult
from ..transport.messages import Event, Request, Role

JobState = Literal["running", "done", "failed", "cancelled"]
WellState = Literal["queued", "running", "done", "failed", "cancelled"]


class WellStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one well of a job stands; a well that failed all its attempts is set aside with its error."""

    well: str
    state: WellState = "queued"
    attempts: int = 0
    n_objects: int = 0
    measurements: tuple[tuple[str, float], ...] = ()
    executor: str = ""
    duration_s: float = 0.0
    folder: str = ""
    files: tuple[str, ...] = ()
    error: str = ""
    notes: tuple[str, ...] = ()


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one job stands; ``revision`` grows with every change."""

    job: str
    plate_id: int
    plate_name: str = ""
    pipeline: str = ""
    source: str = ""
    source_name: str = ""
    owner: str = ""
    state: JobState = "running"
    reason: str = ""
    submitted_at_unix_s: float = 0.0
    finished_at_unix_s: float = 0.0
    wells: tuple[WellStatus, ...] = ()
    faults: tuple[str, ...] = ()
    revision: int = 0


class SubmitJob(Request[str], frozen=True, kw_only=True, tag="compute.submit"):
    """Run a pipeline, given as its Python source, on a plate; the answer is the job's id.

    The pipeline is compiled against the real plate first: every error of it is the failure, and no job is
    made. ``wells`` empty means all. ``key`` makes asking again harmless: the same key gets the same id.
    """

    audience: ClassVar[Role | None] = "user"

    plate_id: int
    source: str
    key: str
    source_name: str = "pipeline.py"
    wells: tuple[str, ...] = ()


class GetJob(Request[JobStatus], frozen=True, kw_only=True, tag="compute.get"):
    """Ask how one job stands."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    job: str


class AwaitJob(Request[JobStatus], frozen=True, kw_only=True, tag="compute.await"):
    """Ask how a job stands once it has changed since ``revision``, at the latest after ``wait_s`` or a minute."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    job: str
    revision: int
    wait_s: float = 10.0


class ListJobs(Request[tuple[JobStatus, ...]], frozen=True, kw_only=True, tag="compute.list"):
    """Ask for every job, oldest first, without sources."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True


class CancelJob(Request[JobStatus], frozen=True, kw_only=True, tag="compute.cancel"):
    """Stop a job; wells that are done stay done."""

    audience: ClassVar[Role | None] = "user"

    job: str


class CompilePipeline(Request[str], frozen=True, kw_only=True, tag="compute.compile"):
    """Ask an executor whether a pipeline fits a plate on its device; the answer is the pipeline's name."""

    source: str
    source_name: str
    plate: Plate
    wells: tuple[str, ...]


class RunWell(Request[StoredResult], frozen=True, kw_only=True, tag="compute.run_well"):
    """Ask an executor to compute one well and leave its sealed result in ``folder``."""

    job: str
    well: str
    attempt: int
    source: str
    source_name: str
    plate: Plate
    folder: str
    owner: str = ""
    """Whose job it is, to be told to whoever looks."""


class CancelWell(Event, frozen=True, kw_only=True, tag="compute.cancel_well"):
    """Tell an executor that nobody wants this well any more."""

    job: str
    well: str


class ExecutorUp(Event, frozen=True, kw_only=True, tag="compute.executor_up"):
    """An executor process is ready for work; ``pid`` tells one life of it from the next."""

    executor: str
    pid: int


class ExecutorDown(Event, frozen=True, kw_only=True, tag="compute.executor_down"):
    """An executor process has ended."""

    executor: str
    pid: int
