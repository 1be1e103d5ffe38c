"""The conversation about imports: hand a folder over, ask how far it is, retry or cancel."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from ..plates.planners import Plan
from ..plates.reach import EVERYTHING, Reach
from ..transport.messages import Request, Role
from .listing import LISTED, LONGEST_KEY, shortened

ImportMode = Literal["upload", "in-place"]

ImportPriority = Literal["low", "normal", "high"]

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


MOST_NAMED = 20
"""Tags, key-values, patterns and notes of an import that a list shows."""

LONGEST_PATH = 4096
"""Characters of a path that a list shows: no system opens a longer one."""


class ImportOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks of an import: which source, what is to be taken of it, and what becomes of it.

    ``name`` is what a single plate will be called. ``pattern`` describes file names that no planner knows,
    ``as_files`` stores what none can read, byte for byte. ``depth`` limits the folders below the source (0: all),
    ``exclude`` holds globs of paths that stay behind. ``agent`` names the workstation that the path is on; empty,
    it is the mesh's own host. ``forced`` imports what was imported before; ``ended`` says that nothing more will
    come, whatever the metadata declares. ``only`` names the files right in the folder that are meant; empty, all are.
    ``group`` is the group of its owner at OMERO that the plates are for; empty, the usual one.
    """

    path: str
    only: tuple[str, ...] = ()
    agent: str = ""
    name: str = ""
    pattern: str = ""
    as_files: bool = False
    depth: int = 0
    exclude: tuple[str, ...] = ()
    mode: ImportMode = "upload"
    priority: ImportPriority = "normal"
    screen: str = ""
    project: str = ""
    dataset: str = ""
    group: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    key_values: tuple[tuple[str, str], ...] = ()
    comment: str = ""
    mail: str = ""
    ended: bool = False
    forced: bool = False
    delete_source: bool = False


class PhaseEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an import's history: when it entered which phase, and what is to be said of it."""

    at_unix_s: float
    phase: ImportPhase
    state: ImportState
    note: str = ""


class ImportStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one import stands; ``revision`` grows with every change, ``reason`` says why it waits or failed.

    ``held`` is the weakest guarantee that the source cannot vanish before it is stored, ``n_bytes_held`` what only
    the mesh still holds. ``certificate`` is the path of the safe-to-delete certificate, ``certificate_note`` why
    there is none, ``deletion_note`` why a source stays that was to be deleted. ``digest`` tells this manifest from
    others.
    """

    import_id: str
    order: ImportOrder
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
    held: str = ""
    n_bytes_held: int = 0
    certificate: str = ""
    certificate_note: str = ""
    source_deleted: bool = False
    deletion_note: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    history: tuple[PhaseEntry, ...] = ()
    revision: int = 0

    def listed(self) -> ImportStatus:
        """It as a list shows it: without its history, and of what may be long only the beginning."""
        return msgspec.structs.replace(
            self,
            order=_beginning(self.order),
            reason=shortened(self.reason),
            hint=shortened(self.hint),
            certificate_note=shortened(self.certificate_note),
            deletion_note=shortened(self.deletion_note),
            notes=tuple(shortened(note) for note in self.notes[:MOST_NAMED]),
            history=(),
        )

    @property
    def source(self) -> str:
        """The source as people name it, the workstation before the path."""
        return f"{self.order.agent}:{self.order.path}" if self.order.agent else self.order.path


def _beginning(order: ImportOrder) -> ImportOrder:
    # What somebody wrote is as long as a message may be, and a list holds a thousand of them.
    return msgspec.structs.replace(
        order,
        only=(),
        path=order.path[:LONGEST_PATH],
        exclude=tuple(shortened(one) for one in order.exclude[:MOST_NAMED]),
        name=shortened(order.name),
        pattern=shortened(order.pattern),
        screen=shortened(order.screen),
        project=shortened(order.project),
        dataset=shortened(order.dataset),
        group=shortened(order.group),
        description=shortened(order.description),
        tags=tuple(shortened(tag) for tag in order.tags[:MOST_NAMED]),
        key_values=tuple((shortened(key), shortened(value)) for key, value in order.key_values[:MOST_NAMED]),
        comment=shortened(order.comment),
        mail=shortened(order.mail),
    )


class SubmitImport(Request[str], frozen=True, kw_only=True, tag="imports.submit"):
    """Hand a folder or file over; the answer is the import's id, and it is journalled by then.

    ``key`` makes asking again harmless: the same key of the same asker gets the same id, as long as the import is known
    and for 30 days after it was forgotten; for another source or owner it is refused. ``on_behalf_of`` is whom the
    import belongs to when an agent or administrator hands it over; empty, it is whoever asks.
    """

    audience: ClassVar[Role | None] = "user"

    order: ImportOrder
    key: Annotated[str, msgspec.Meta(max_length=LONGEST_KEY)]
    on_behalf_of: Annotated[str, msgspec.Meta(max_length=LONGEST_KEY)] = ""


class ImportPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What an order would do if it were given: what would be stored, what would be missing, and for how long.

    ``pending`` says why the acquisition has not ended, ``same_as`` names the import that has these files
    already, ``estimated_s`` is at the rate of the latest imports; 0 while they were too few to tell.
    """

    plan: Plan
    notes: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    same_as: str = ""
    estimated_s: float = 0.0


class PreviewImport(Request[ImportPreview], frozen=True, kw_only=True, tag="imports.preview"):
    """Ask what an order would do, for oneself or for whom it is given; nothing is taken over."""

    audience: ClassVar[Role | None] = "user"

    order: ImportOrder
    on_behalf_of: str = ""


class GetImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.get"):
    """Ask how one import stands."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    import_id: str


class AwaitImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.await"):
    """Ask how an import stands once it has changed since ``revision``, at the latest after ``wait_s`` or a minute."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    import_id: str
    revision: int
    wait_s: float = 10.0


class ListImports(Request[tuple[ImportStatus, ...]], frozen=True, kw_only=True, tag="imports.list"):
    """Ask for the newest imports, the newest first: ``limit`` of them, and never more than ``MOST_LISTED``.

    They come without their histories, and without what may be long. ``before`` is the last one of the answer before,
    to go on behind it; ``state`` asks for those in this state alone.
    """

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    limit: int = LISTED
    before: str = ""
    state: ImportState | Literal[""] = ""


class RetryImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.retry"):
    """Take a failed, cancelled or waiting import up again where it stopped."""

    audience: ClassVar[Role | None] = "user"

    import_id: str


class CancelImport(Request[ImportStatus], frozen=True, kw_only=True, tag="imports.cancel"):
    """Stop an import for good, unless its plates are registered already.

    Held files whose only copy lies with the mesh are given up only with ``discard_held``.
    """

    audience: ClassVar[Role | None] = "user"

    import_id: str
    discard_held: bool = False


class ForgetImport(Request[None], frozen=True, kw_only=True, tag="imports.forget"):
    """Take an import that has ended off the list; its plates stay.

    Held files whose only copy lies with the mesh are given up only with ``discard_held``.
    """

    audience: ClassVar[Role | None] = "user"

    import_id: str
    discard_held: bool = False


class PlanSource(Request[Plan], frozen=True, kw_only=True, tag="inspection.plan"):
    """Ask which filesets and plates a source holds; answered in the inspector's process.

    It is asked for somebody: what is beyond his ``reach`` is not opened, whatever has become of the source by then.
    """

    path: str
    only: tuple[str, ...] = ()
    pattern: str = ""
    name: str = ""
    as_files: bool = False
    depth: int = 0
    exclude: tuple[str, ...] = ()
    reach: Reach = EVERYTHING


class ProbePlane(msgspec.Struct, frozen=True, kw_only=True):
    """One plane (Y, X) that must open: where it is and what it should be.

    Links are followed in a source, and not in a repository, where they lead to what an import in place recorded.
    """

    root: str
    file: str
    page: int
    height: int
    width: int
    dtype: str
    follow_links: bool = False


class DecodedPlane(msgspec.Struct, frozen=True, kw_only=True):
    """A plane (Y, X) that was opened: where it is, and the SHA-1 of its pixels, row by row, little-endian."""

    file: str
    page: int
    height: int
    width: int
    dtype: str
    checksum: str


class ProbePlanes(Request[tuple[DecodedPlane, ...]], frozen=True, kw_only=True, tag="inspection.probe"):
    """Ask that these planes be decoded; the answer is what they hold, and the first that cannot be is the failure."""

    planes: tuple[ProbePlane, ...]
    reach: Reach = EVERYTHING
