"""What the journal holds of imports: one record for each thing that must survive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ...messages.imports import DecodedPlane, ImportOrder, ImportPhase
from ...messages.workstations import Workstation
from ...plates.certificate import Device
from ...plates.holding.guarantees import Hold
from ...plates.planners import Plan
from ...plates.repository import SourceFile, StoredFile


class ImportRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one import."""

    import_id: str
    at_unix_s: float


class Accepted(ImportRecord, frozen=True, kw_only=True, tag="import.accepted"):
    """Somebody handed a source over; from here on it is ours to bring home."""

    key: str
    order: ImportOrder
    owner: str = ""
    by: str = ""
    administrator: bool = False
    """Whether who handed it over could name any file."""
    workstation: Workstation = Workstation()
    """Which one had the name of its agent then: no other one's files are meant. Not known in older records."""


class Entered(ImportRecord, frozen=True, kw_only=True, tag="import.entered"):
    """A phase begins; written before the phase has any effect."""

    phase: ImportPhase
    note: str = ""


class Settled(ImportRecord, frozen=True, kw_only=True, tag="import.settled"):
    """The source is at rest: what it holds, and what each file looked like."""

    plan: Plan
    files: tuple[SourceFile, ...]
    digest: str = ""


class Stored(ImportRecord, frozen=True, kw_only=True, tag="import.stored"):
    """These files lie durable in the repository, with their checksums."""

    files: tuple[StoredFile, ...]


class Held(ImportRecord, frozen=True, kw_only=True, tag="import.held"):
    """How the source is kept from vanishing until it is stored."""

    hold: Hold
    source_device: Device


class Verified(ImportRecord, frozen=True, kw_only=True, tag="import.verified"):
    """What was stored was read again and is what was read; these planes of it were decoded."""

    planes: tuple[DecodedPlane, ...] = ()


class Certified(ImportRecord, frozen=True, kw_only=True, tag="import.certified"):
    """The certificate lies on the disk; or there is none, and ``note`` says why."""

    path: str = ""
    note: str = ""


class SourceDeleted(ImportRecord, frozen=True, kw_only=True, tag="import.source_deleted"):
    """The source is gone because its owner asked for it and the certificate allows it."""

    n_files: int
    note: str = ""


class OffPlates(ImportRecord, frozen=True, kw_only=True, tag="import.off_plates"):
    """Some images of it are no plates of the repository; ``note`` says which, and where they are."""

    note: str


class CameLate(ImportRecord, frozen=True, kw_only=True, tag="import.came_late"):
    """At its end the source held these files beside what was imported, or in another size; the first are named."""

    n_files: int
    files: tuple[str, ...] = ()


class Noted(ImportRecord, frozen=True, kw_only=True, tag="import.noted"):
    """What the history says of something that was found out, and is not true any more."""

    note: str


class Closed(ImportRecord, frozen=True, kw_only=True, tag="import.closed"):
    """For so long its workstation was there and might not read it for the last time: that is no time waited for it."""

    closed_s: float


class Returned(ImportRecord, frozen=True, kw_only=True, tag="import.returned"):
    """What was read cannot be trusted: the import goes back to settling with nothing stored."""

    reason: str
    hint: str = ""


class Stumbled(ImportRecord, frozen=True, kw_only=True, tag="import.stumbled"):
    """A phase failed in a way that may pass; it is tried again after ``wait_s``."""

    reason: str
    hint: str = ""
    wait_s: float = 0.0


class Failed(ImportRecord, frozen=True, kw_only=True, tag="import.failed"):
    """A phase failed for good; only a person can take it up again."""

    reason: str
    hint: str = ""


class Retried(ImportRecord, frozen=True, kw_only=True, tag="import.retried"):
    """A person took the import up again."""

    by: str = ""


class Cancelled(ImportRecord, frozen=True, kw_only=True, tag="import.cancelled"):
    """A person gave the import up."""

    by: str = ""


class Finished(ImportRecord, frozen=True, kw_only=True, tag="import.finished"):
    """The plates are in the repository, proven and annotated."""

    plate_ids: tuple[int, ...]


class Told(ImportRecord, frozen=True, kw_only=True, tag="import.told"):
    """The outbox has the notice of how it ended: ``done``, or the number of its failure."""

    of: str


class Forgotten(ImportRecord, frozen=True, kw_only=True, tag="import.forgotten"):
    """Off the list, by a person or by its age; the key is kept, so that asking again imports nothing twice."""

    key: str = ""
    asker: str = ""
    """Who had submitted it under the key; empty in records from before it was noted: nobody's key then."""
    by: str = ""
    in_place: str = ""
    """The path that it has in place still."""


class Summary(ImportRecord, frozen=True, kw_only=True, tag="import.summary"):
    """An ended import as a checkpoint keeps it: all that can still be asked, none of what only work needs."""

    key: str
    asker: str = ""
    """Who submitted it under the key; empty in records from before it was noted: its owner then."""
    status: bytes
    untold: str = ""


Record = (
    Accepted
    | Entered
    | Settled
    | Held
    | Stored
    | Verified
    | Certified
    | SourceDeleted
    | OffPlates
    | CameLate
    | Noted
    | Closed
    | Returned
    | Stumbled
    | Failed
    | Retried
    | Cancelled
    | Finished
    | Told
    | Forgotten
    | Summary
)


def without_findings(records: Iterable[Record]) -> Iterator[Record]:
    """The records of an import that begins anew: of all that was found out before, what its history says of it.

    A pass over a hundred thousand files takes as much memory as the last one, and as much of a checkpoint.
    """
    for record in records:
        match record:
            case Settled() | Stored() | Verified() | OffPlates() | CameLate() | Closed():
                continue
            case Held(import_id=import_id, at_unix_s=at_unix_s, hold=hold):
                yield Noted(import_id=import_id, at_unix_s=at_unix_s, note=str(hold))
            case _:
                yield record
