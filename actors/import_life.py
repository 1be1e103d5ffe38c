"""The life cycle of an import: records in, where it stands and what comes next out (pure).

The phases run in the order of IMPORT_PHASES. A record moves an import; nothing else does, so that
replaying the journal gives the same import that was lost with the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..messages.imports import IMPORT_PHASES, ImportPhase, ImportState, ImportStatus, PhaseEntry
from ..plates.planners import Plan
from ..plates.planners.plan import THUMBNAIL
from ..plates.repository import SourceFile, StoredFile
from .import_records import (
    Accepted,
    Cancelled,
    Entered,
    Failed,
    Finished,
    Record,
    Retried,
    Returned,
    Settled,
    Stored,
    Stumbled,
    Summary,
)

ENDED: frozenset[ImportState] = frozenset({"done", "failed", "cancelled"})
REOPENABLE: frozenset[ImportState] = frozenset({"failed", "cancelled", "waiting"})


class ImportLife:
    """One import, from acceptance to its end."""

    def __init__(self, accepted: Accepted) -> None:
        self.import_id = accepted.import_id
        self.key = accepted.key
        self.source = accepted.source
        self.name = accepted.name
        self.pattern = accepted.pattern
        self.owner = accepted.owner
        self.state: ImportState = "running"
        self.phase: ImportPhase = "accepted"
        self.reason = ""
        self.hint = ""
        self.attempts = 0
        self.n_returns = 0
        self.plan = Plan()
        self.files: tuple[SourceFile, ...] = ()
        self.stored: dict[str, StoredFile] = {}
        self.plate_ids: tuple[int, ...] = ()
        self.n_bytes_done = 0
        self.revision = 0
        self.records: list[Record] = [accepted]
        self.history = [PhaseEntry(at_unix_s=accepted.at_unix_s, phase="accepted", state="running")]

    @property
    def next_phase(self) -> ImportPhase | None:
        """The phase to run now: the one it was in when it stopped, else the one after; None at the end."""
        if self.state in ENDED:
            return None
        return self.phase if self._unfinished else IMPORT_PHASES[IMPORT_PHASES.index(self.phase) + 1]

    def finish_phase(self) -> None:
        """The phase's effects are all there; volatile, since a phase that runs again finds its effects."""
        self._unfinished = False
        self.attempts = 0

    _unfinished = False

    def apply(self, record: Record) -> None:
        """Move by one record."""
        self.revision += 1
        self.records.append(record)
        note = ""
        match record:
            case Entered(phase=phase, note=note):
                if phase != self.phase:
                    self.attempts = 0
                self.phase, self.state, self.reason, self.hint = phase, "running", "", ""
                self._unfinished = True
            case Settled(plan=plan, files=files):
                self.plan, self.files = plan, files
                self.state, self.reason, self._unfinished = "running", "", False
                return
            case Stored(files=stored):
                self.stored.update((file.path, file) for file in stored)
                return
            case Returned(reason=reason, hint=hint):
                self.phase, self.state, self.reason, self.hint = "accepted", "waiting", reason, hint
                self.n_returns += 1
                self.plan, self.files, self.stored, self.n_bytes_done = Plan(), (), {}, 0
                self._unfinished = False
                note = reason
            case Stumbled(reason=reason, hint=hint, wait_s=wait_s):
                self.state, self.reason, self.hint = "waiting", reason, hint
                self.attempts += 1
                note = f"{reason}; trying again in {wait_s:.1f} s"
            case Failed(reason=reason, hint=hint):
                self.state, self.reason, self.hint = "failed", reason, hint
                note = reason
            case Retried(by=by):
                if self.state == "cancelled":
                    # What had been stored was removed with the cancellation.
                    self.phase, self.plan, self.files, self.stored = "accepted", Plan(), (), {}
                    self._unfinished = False
                self.state, self.reason, self.hint, self.attempts = "running", "", "", 0
                self.n_returns = 0
                note = f"taken up again by {by}" if by else "taken up again"
            case Cancelled(by=by):
                self.state, self.reason, self.hint = "cancelled", f"cancelled by {by}" if by else "cancelled", ""
                note = self.reason
            case Finished(plate_ids=plate_ids):
                self.phase, self.state, self.plate_ids = "done", "done", plate_ids
                self.n_bytes_done = self.plan.n_bytes
                self.reason = self.hint = ""
        self.history.append(PhaseEntry(at_unix_s=record.at_unix_s, phase=self.phase, state=self.state, note=note))

    def waits(self, reason: str) -> None:
        """Say why nothing moves just now; not worth a record, since it is found out again."""
        if self.reason != reason:
            self.state, self.reason = "waiting", reason
            self.revision += 1

    def status(self, *, with_history: bool = True) -> ImportStatus:
        """How it stands, as a message."""
        notes = [note for plate in self.plan.plates for note in plate.notes]
        notes += [
            f"{plate.name}: {len(plate.missing)} images that the metadata declares are missing"
            for plate in self.plan.plates
            if plate.missing
        ]
        notes += _stayed_behind(self.plan)
        return ImportStatus(
            import_id=self.import_id,
            source=self.source,
            name=self.name,
            pattern=self.pattern,
            owner=self.owner,
            state=self.state,
            phase=self.phase,
            reason=self.reason,
            hint=self.hint,
            attempts=self.attempts,
            n_files=self.plan.n_files,
            n_bytes=self.plan.n_bytes,
            n_bytes_done=self.n_bytes_done,
            plate_ids=self.plate_ids,
            notes=tuple(notes),
            history=tuple(self.history) if with_history else (),
            revision=self.revision,
        )


def _stayed_behind(plan: Plan) -> Iterator[str]:
    """What was not taken over, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for left in plan.left_out:
        reasons.setdefault(left.reason, []).append(left.path)
    for reason, paths in reasons.items():
        n = len(paths)
        if reason == THUMBNAIL:
            yield f"{n} thumbnail{'s' if n > 1 else ''} stayed behind"
        else:
            shown = ", ".join(paths[:3]) + (", ..." if n > 3 else "")
            yield f"{n} file{'s' if n > 1 else ''} stayed behind, {reason}: {shown}"


class EndedImport:
    """An import that was over before the last checkpoint: its status, and nothing to work with."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        self._status = msgspec.msgpack.decode(summary.status, type=ImportStatus)

    def status(self, *, with_history: bool = True) -> ImportStatus:
        """How it ended."""
        return self._status if with_history else msgspec.structs.replace(self._status, history=())


class ImportBook:
    """Every import that the journal knows."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.lives: dict[str, ImportLife] = {}
        self.ended: dict[str, EndedImport] = {}
        self._by_key: dict[str, str] = {}
        self._last_number = 0
        for record in records:
            self.apply(record)

    def __iter__(self) -> Iterator[ImportLife | EndedImport]:
        entries: dict[str, ImportLife | EndedImport] = {**self.ended, **self.lives}
        return iter(entries[import_id] for import_id in sorted(entries, key=_number))

    def apply(self, record: Record) -> ImportLife | None:
        """Take a record in; returns the import it moved."""
        self._last_number = max(self._last_number, _number(record.import_id))
        match record:
            case Accepted():
                self.lives[record.import_id] = ImportLife(record)
                self._by_key[record.key] = record.import_id
                return self.lives[record.import_id]
            case Summary():
                self.lives.pop(record.import_id, None)
                self.ended[record.import_id] = EndedImport(record)
                self._by_key[record.key] = record.import_id
                return None
        if record.import_id in self.ended:
            # What came behind the end changes nothing any more.
            return None
        life = self.lives[record.import_id]
        life.apply(record)
        if life.state == "done":
            # What only work needs, such as 100,000 checksums, goes with the work.
            summary = _summary(life)
            del self.lives[life.import_id]
            self.ended[life.import_id] = EndedImport(summary)
        return life

    def find(self, import_id: str) -> ImportLife | EndedImport | None:
        """The import of this id."""
        return self.lives.get(import_id) or self.ended.get(import_id)

    def new_id(self) -> str:
        """An id that no import has had."""
        self._last_number += 1
        return f"import-{self._last_number:04d}"

    def by_key(self, key: str) -> str | None:
        """The import that was submitted under this key, if any."""
        return self._by_key.get(key)

    def compacted(self) -> tuple[Record, ...]:
        """The records that a checkpoint needs: a summary of each import that is done, everything of the others."""
        ended: list[Record] = [one.summary for one in self.ended.values()]
        return (*ended, *(record for life in self.lives.values() for record in life.records))


def _summary(life: ImportLife) -> Summary:
    return Summary(
        import_id=life.import_id,
        at_unix_s=life.history[-1].at_unix_s,
        key=life.key,
        status=msgspec.msgpack.encode(life.status()),
    )


def _number(import_id: str) -> int:
    return int(import_id.rpartition("-")[2])
