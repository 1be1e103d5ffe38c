"""The life cycle of an import: records in, where it stands and what comes next out (pure).

The phases run in the order of IMPORT_PHASES. A record moves an import; nothing else does, so that
replaying the journal gives the same import that was lost with the process.
"""

from __future__ import annotations

from ...messages.imports import IMPORT_PHASES, DecodedPlane, ImportPhase, ImportState, ImportStatus, PhaseEntry
from ...plates.certificate import Device
from ...plates.holding.guarantees import Hold
from ...plates.planners import Plan
from ...plates.repository import SourceFile, StoredFile
from .notes import late_notes, plan_notes
from .records import (
    Accepted,
    CameLate,
    Cancelled,
    Certified,
    Closed,
    Entered,
    Failed,
    Finished,
    Held,
    Noted,
    OffPlates,
    Record,
    Retried,
    Returned,
    Settled,
    SourceDeleted,
    Stored,
    Stumbled,
    Told,
    Verified,
    without_findings,
)

TURNS = (Entered, Returned, Stumbled, Failed, Retried, Cancelled, Finished)
"""The records that take an import to another phase or state; the others tell what was found out."""

ENDED: frozenset[ImportState] = frozenset({"done", "failed", "cancelled"})
REOPENABLE: frozenset[ImportState] = frozenset({"failed", "cancelled", "waiting"})

_NOTHING = Plan()


class ImportLife:
    """One import, from acceptance to its end."""

    def __init__(self, accepted: Accepted) -> None:
        self.import_id = accepted.import_id
        self.key = accepted.key
        self.asker = accepted.by or accepted.owner
        self.order = accepted.order
        self.owner = accepted.owner
        self.administrator = accepted.administrator
        self.workstation = accepted.workstation
        self.state: ImportState = "running"
        self.phase: ImportPhase = "accepted"
        self.reason = ""
        self.hint = ""
        self.attempts = 0
        self.n_returns = 0
        self.n_copies = 0
        self.n_failures = 0
        self.untold = ""
        self.certificate = ""
        self.certificate_note = ""
        self.source_deleted = False
        self.deletion_tried = False
        self.deletion_note = ""
        self.plate_ids: tuple[int, ...] = ()
        self.revision = 0
        self.records: list[Record] = [accepted]
        self.history = [PhaseEntry(at_unix_s=accepted.at_unix_s, phase="accepted", state="running")]
        self._begin()

    def _begin(self) -> None:
        """Nothing is known of the source, nothing of it is stored."""
        # Not counted: there is nothing, and ten thousand that wait for their turn are begun at each start.
        self.plan, self.n_files, self.n_bytes = _NOTHING, 0, 0
        self._notes: tuple[str, ...] = ()
        self.files: tuple[SourceFile, ...] = ()
        self.digest = ""
        self.hold: Hold | None = None
        self.held = ""
        self.stored: dict[str, StoredFile] = {}
        self.decoded: tuple[DecodedPlane, ...] = ()
        self.source_device: Device | None = None
        self.verified_at_unix_s = self.closed_s = 0.0
        self.n_bytes_held = 0
        self.off_plates = ""
        self.n_late = 0
        self.late: tuple[str, ...] = ()
        self.n_bytes_done = 0
        self._unfinished = False

    def _plan(self, plan: Plan) -> None:
        """Know what will be stored; counted once, since people are told of it several times a second."""
        self.plan = plan
        self.n_files, self.n_bytes, self._notes = plan.n_files, plan.n_bytes, plan_notes(plan)

    @property
    def next_phase(self) -> ImportPhase | None:
        """The phase to run now: the one it was in when it stopped, else the one after; None at the end."""
        if self.state in ENDED:
            return None
        return self.phase if self._unfinished else IMPORT_PHASES[IMPORT_PHASES.index(self.phase) + 1]

    @property
    def may_have_plates(self) -> bool:
        """Whether its plates may be in the repository: none is taken out of it again."""
        return IMPORT_PHASES.index(self.phase) >= IMPORT_PHASES.index("importing")

    @property
    def was_copied(self) -> bool:
        """Whether all of it was copied: what is copied from here on is copied anew."""
        return IMPORT_PHASES.index(self.phase) >= IMPORT_PHASES.index("verifying")

    @property
    def may_be_deleting(self) -> bool:
        """Whether its source may be being deleted now: it is certified, and no record says what became of the order."""
        ordered = self.order.delete_source and not self.deletion_tried
        return ordered and bool(self.certificate) and self.state not in ENDED

    def finish_phase(self) -> None:
        """The phase's effects are all there; volatile, since a phase that runs again finds its effects."""
        self._unfinished = False
        self.attempts = 0

    def apply(self, record: Record) -> None:
        """Move by one record."""
        begins_anew = isinstance(record, Returned) or (isinstance(record, Retried) and self.state == "cancelled")
        self.revision += 1
        self.records.append(record)
        note = self._turn(record) if isinstance(record, TURNS) else self._learn(record)
        if begins_anew:
            self.records = list(without_findings(self.records))
        if note is not None:
            self.history.append(PhaseEntry(at_unix_s=record.at_unix_s, phase=self.phase, state=self.state, note=note))

    def _learn(self, record: Record) -> str | None:
        """Take in what was found out in a phase; returns what its history says of it, if anything."""
        match record:
            case Settled(plan=plan, files=files, digest=digest):
                self._plan(plan)
                self.files, self.digest = files, digest
                self.state, self.reason, self._unfinished = "running", "", False
            case Held(hold=hold, source_device=device):
                self.hold, self.held, self.source_device = hold, hold.guarantee, device
                return str(hold)
            case Stored(files=stored):
                self.stored.update((file.path, file) for file in stored)
            case Verified(planes=planes, at_unix_s=at_unix_s):
                self.decoded, self.verified_at_unix_s, self.closed_s = planes, at_unix_s, 0.0
            case Closed(closed_s=closed_s):
                self.closed_s += closed_s
            case Certified(path=path, note=note):
                self.certificate, self.certificate_note = path, note
                return note or f"certified: {path}"
            case SourceDeleted(n_files=n_files, note=note):
                self.source_deleted, self.deletion_tried, self.deletion_note = not note, True, note
                return note or f"the source's {n_files} files were deleted, as ordered"
            case OffPlates(note=note):
                self.off_plates = note
            case CameLate(n_files=n_files, files=late):
                self.n_late, self.late = n_files, late
            case Noted(note=note):
                return note
            case Told(of=of):
                # Of an earlier failure, it says nothing of how it ended since.
                self.untold = "" if of == self.untold else self.untold
        return None

    def _turn(self, record: Record) -> str:
        """Go to another phase or state; returns what its history says of it."""
        match record:
            case Entered(phase=phase, note=note):
                if phase != self.phase:
                    self.attempts = 0
                if phase == "transferring" and self.was_copied:
                    self.n_copies += 1
                self.phase, self.state, self.reason, self.hint = phase, "running", "", ""
                self._unfinished = True
                return note
            case Returned(reason=reason, hint=hint):
                self._begin()
                self.phase, self.state, self.reason, self.hint = "accepted", "waiting", reason, hint
                self.n_returns += 1
                return reason
            case Stumbled(reason=reason, hint=hint, wait_s=wait_s):
                self.state, self.reason, self.hint = "waiting", reason, hint
                self.attempts += 1
                return f"{reason}; trying again in {wait_s:.1f} s"
            case Failed(reason=reason, hint=hint):
                self.state, self.reason, self.hint = "failed", reason, hint
                self.n_failures += 1
                self.untold = f"failed/{self.n_failures}"
                return reason
            case Retried(by=by):
                if self.state == "cancelled":
                    # What had been stored was removed with the cancellation.
                    self._begin()
                    self.phase = "accepted"
                self.state, self.reason, self.hint, self.attempts = "running", "", "", 0
                self.n_returns = self.n_copies = 0
                return f"taken up again by {by}" if by else "taken up again"
            case Cancelled(by=by):
                self.n_bytes_held = 0
                self.state, self.reason, self.hint = "cancelled", f"cancelled by {by}" if by else "cancelled", ""
                return self.reason
            case Finished(plate_ids=plate_ids):
                self.phase, self.state, self.plate_ids = "done", "done", plate_ids
                self.n_bytes_done, self.n_bytes_held = self.n_bytes, 0
                self.untold = "done"
                self.reason = self.hint = ""
        return ""

    def waits(self, reason: str) -> None:
        """Say why nothing moves just now; not worth a record, since it is found out again."""
        if self.reason != reason:
            self.state, self.reason = "waiting", reason
            self.revision += 1

    def goes_on(self, n_bytes_done: int, reason: str) -> bool:
        """Say how far its phase is and what holds it up; whether that is news."""
        if (n_bytes_done, reason) == (self.n_bytes_done, self.reason):
            return False
        self.n_bytes_done, self.reason = n_bytes_done, reason
        self.revision += 1
        return True

    def status(self) -> ImportStatus:
        """How it stands, as a message."""
        return ImportStatus(
            import_id=self.import_id,
            order=self.order,
            owner=self.owner,
            state=self.state,
            phase=self.phase,
            reason=self.reason,
            hint=self.hint,
            attempts=self.attempts,
            n_files=self.n_files,
            n_bytes=self.n_bytes,
            n_bytes_done=self.n_bytes_done,
            plate_ids=self.plate_ids,
            held=self.held,
            n_bytes_held=self.n_bytes_held,
            certificate=self.certificate,
            certificate_note=self.certificate_note,
            source_deleted=self.source_deleted,
            deletion_note=self.deletion_note,
            digest=self.digest,
            notes=(
                *self._notes,
                *filter(None, (self.off_plates,)),
                *late_notes(self.n_late, self.late, self.order),
            ),
            history=tuple(self.history),
            revision=self.revision,
        )
