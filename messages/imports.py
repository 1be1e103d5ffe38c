"""The conversation about imports: hand a folder over, ask how far it is, retry or cancel."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ..plates.planners import Plan
from ..transport.messages import Request, Role

ImportState = Literal["running", "waiting", "done", "failed", "cancelled"]

ImportPhase = Literal[
    "accepted", "settling", "held", "registered", "transferring", "verifying", "importing", "annotating", "done"
]

IMPORT_PHASES: tuple[ImportPhase, ...] = (
    "accepted",
    "settling",
    "held",
    "registered",
    "transferring",
    "verifying",
    "importing",
    "annotating",
    "done",
)


class PhaseEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an import's history: when it entered which phase, and what is to be said of it."""

    at_unix_s: float
    phase: ImportPhase
    state: ImportState
    note: str = ""


class ImportStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one import stands; ``revision`` grows with every change, ``reason`` says why it waits or failed."""

    import_id: str
    source: str
    name: str = ""
    pattern: str = ""
    owner: str = ""
    state: ImportState = "running"
    phase: ImportPhase = "accepted"
    reason: str = ""
    hint: str = ""
    attempts: int = 0
    n_files: int = 0
    n_bytes: int = 0
    n_bytes_done: int = 0
    plate_ids: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    history: tuple[PhaseEntry, ...] = ()
    revision: int = 0


class SubmitImport(Request[str], frozen=True, kw_only=True, tag="imports.submit"):
    """Hand a folder or file over; the answer is the import's id, and it is journalled by then.

    ``key`` makes asking again harmless: the same key gets the same id.
    """

    audience: ClassVar[Role | None] = "user"

    path: str
    key: str
    name: str = ""
    pattern: str = ""


class GetImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.get"):
    """Ask how one import stands."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    import_id: str


class AwaitImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.await"):
    """Ask how an import stands once it has changed since ``revision``, at the latest after ``wait_s``."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    import_id: str
    revision: int
    wait_s: float = 10.0


class ListImports(Request[tuple[ImportStatus, ...]], frozen=True, kw_only=True, tag="imports.list"):
    """Ask for every import, oldest first, without their histories."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True


class RetryImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.retry"):
    """Take a failed, cancelled or waiting import up again where it stopped."""

    audience: ClassVar[Role | None] = "user"

    import_id: str


class CancelImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.cancel"):
    """Stop an import for good, unless its plates are registered already."""

    audience: ClassVar[Role | None] = "user"

    import_id: str


class PlanSource(Request[Plan], frozen=True, kw_only=True, tag="inspection.plan"):
    """Ask which filesets and plates a source holds; answered in the inspector's process."""

    path: str
    pattern: str = ""
    name: str = ""


class ProbePlane(msgspec.Struct, frozen=True, kw_only=True):
    """One plane (Y, X) that must open: where it is and what it should be."""

    root: str
    file: str
    page: int
    height: int
    width: int
    dtype: str


class ProbePlanes(Request[int], frozen=True, kw_only=True, tag="inspection.probe"):
    """Ask that these planes be decoded; the answer is how many were, and the first that cannot be is the failure."""

    planes: tuple[ProbePlane, ...]
