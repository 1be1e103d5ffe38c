"""The conversation about analysis: submit a pipeline for a plate, follow its wells, and what executors are asked."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, ClassVar, Literal

import msgspec

from ..plates.model import Plate
from ..plates.repository import StoredResult
from ..transport.messages import Event, Principal, Request, Role
from .listing import LISTED, LONGEST_KEY, shortened

JobState = Literal["running", "done", "failed", "cancelled"]
WellState = Literal["queued", "running", "done", "failed", "cancelled"]

LONGEST_SOURCE = 1_000_000
"""Characters of a pipeline: it is kept with its job, in memory too while that runs."""
MOST_WELLS = 100_000
"""Wells that one job may name."""


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

    def listed(self) -> JobSummary:
        """It as a list shows it: its wells counted, and no text that is long."""
        n = Counter(well.state for well in self.wells)
        return JobSummary(
            job=self.job,
            plate_id=self.plate_id,
            plate_name=shortened(self.plate_name),
            pipeline=shortened(self.pipeline),
            source_name=shortened(self.source_name),
            owner=shortened(self.owner),
            state=self.state,
            reason=shortened(self.reason),
            error=shortened(next((well.error for well in self.wells if well.state == "failed"), "")),
            submitted_at_unix_s=self.submitted_at_unix_s,
            finished_at_unix_s=self.finished_at_unix_s,
            n_wells=len(self.wells),
            n_queued=n["queued"],
            n_running=n["running"],
            n_done=n["done"],
            n_failed=n["failed"],
            n_cancelled=n["cancelled"],
            n_objects=sum(well.n_objects for well in self.wells),
            running=tuple(
                RunningWell(well=well.well, executor=well.executor) for well in self.wells if well.state == "running"
            ),
            revision=self.revision,
        )


class RunningWell(msgspec.Struct, frozen=True, kw_only=True):
    """A well that is computed just now, and where."""

    well: str
    executor: str = ""


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of jobs: its wells are counted by their state; ``error`` is the first failed well's.

    Long texts are cut; ``GetJob`` has all of it. ``running`` is as long as there are executors, at the most.
    """

    job: str
    plate_id: int
    plate_name: str = ""
    pipeline: str = ""
    source_name: str = ""
    owner: str = ""
    state: JobState = "running"
    reason: str = ""
    error: str = ""
    submitted_at_unix_s: float = 0.0
    finished_at_unix_s: float = 0.0
    n_wells: int = 0
    n_queued: int = 0
    n_running: int = 0
    n_done: int = 0
    n_failed: int = 0
    n_cancelled: int = 0
    n_objects: int = 0
    running: tuple[RunningWell, ...] = ()
    revision: int = 0


class SubmitJob(Request[str], frozen=True, kw_only=True, tag="compute.submit"):
    """Run a pipeline, given as its Python source, on a plate; the answer is the job's id.

    The pipeline is compiled against the real plate first: every error of it is the failure, and no job is
    made. ``wells`` empty means all. ``key`` makes asking again harmless: the same key of the same asker gets the same
    id, as long as the job is known and for 30 days after it was forgotten. Where results go follows from where the
    plate lies: ``results_in`` chooses nothing, and is refused where it names another place.
    """

    audience: ClassVar[Role | None] = "user"

    plate_id: int
    source: Annotated[str, msgspec.Meta(max_length=LONGEST_SOURCE)]
    key: Annotated[str, msgspec.Meta(max_length=LONGEST_KEY)]
    source_name: Annotated[str, msgspec.Meta(max_length=LONGEST_KEY)] = "pipeline.py"
    wells: Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST_WELLS)] = ()
    results_in: str = ""


class GetJob(Request[JobStatus], frozen=True, kw_only=True, tag="compute.get"):
    """Ask how one job stands; ``asker`` is for whom a part of the mesh asks, and is believed of no other."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    job: str
    asker: Principal | None = None


class AwaitJob(Request[JobStatus], frozen=True, kw_only=True, tag="compute.await"):
    """Ask how a job stands once it has changed since ``revision``, at the latest after ``wait_s`` or a minute."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    job: str
    revision: int
    wait_s: float = 10.0


class ListJobs(Request[tuple[JobSummary, ...]], frozen=True, kw_only=True, tag="compute.list"):
    """Ask for the newest jobs, the newest first: ``limit`` of them, and never more than ``MOST_LISTED``.

    ``before`` is the last one of the answer before, to go on behind it; ``state`` asks for those in this state alone.
    """

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    limit: int = LISTED
    before: str = ""
    state: JobState | Literal[""] = ""


class FetchWell(Request[WellStatus], frozen=True, kw_only=True, tag="results.fetch_well"):
    """Ask for a finished well with its files in a folder of the mesh's host, fetched for the asker where needed."""

    audience: ClassVar[Role | None] = "user"

    job: str
    well: str


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
    """Whose job it is: in whose name planes are read, and who is told to whoever looks."""

    @property
    def acts_for(self) -> str:
        """The job's owner."""
        return self.owner


class CancelWell(Event, frozen=True, kw_only=True, tag="compute.cancel_well"):
    """Tell an executor that nobody wants this well any more."""

    job: str
    well: str


class ExecutorUp(Event, frozen=True, kw_only=True, tag="compute.executor_up"):
    """An executor process is ready for work; ``pid`` tells one life of it from the next."""

    always_taken: ClassVar[bool] = True

    executor: str
    pid: int


class ExecutorDown(Event, frozen=True, kw_only=True, tag="compute.executor_down"):
    """An executor process has ended."""

    always_taken: ClassVar[bool] = True

    executor: str
    pid: int
