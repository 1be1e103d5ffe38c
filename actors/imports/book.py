"""The book of imports: every one that the journal knows, at work or ended (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from ...messages.imports import ImportOrder, ImportState, ImportStatus
from ...messages.listing import bounded, newest_first, number_of
from ...messages.workstations import Workstation
from ...plates.repository import SourceFile
from ..retention import Retention, outlived
from .life import ImportLife
from .records import Accepted, Forgotten, Record, Settled, Summary, Told

_OWN_ID = re.compile(r"import-[0-9]{4,12}")
"""An id that a mesh may have given: others name what they hold as they like, and must not use its numbers up."""


class _Brief(msgspec.Struct, frozen=True):
    digest: str = ""
    owner: str = ""


class _Ordered(msgspec.Struct, frozen=True):
    order: ImportOrder


class EndedImport:
    """An import that is done: its status, as the journal has it, and nothing to work with."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        # The rest is read when somebody asks: as objects, ten thousand are several times as large.
        brief = msgspec.msgpack.decode(summary.status, type=_Brief)
        self.digest = brief.digest
        """What tells its manifest from others."""
        self.owner = brief.owner
        """Whose it is."""
        self.asker = summary.asker or brief.owner
        """Who handed it over, in whose name alone its key is known."""

    @property
    def untold(self) -> str:
        """The end of which nobody has heard; empty if it is known."""
        return self.summary.untold

    @property
    def ended_at_unix_s(self) -> float:
        """When it ended."""
        return self.summary.at_unix_s

    @property
    def state(self) -> ImportState:
        """What became of it."""
        return "done"

    @property
    def in_place(self) -> str:
        """The path that it has in place; empty if it was copied."""
        return _place_of(msgspec.msgpack.decode(self.summary.status, type=_Ordered).order)

    def status(self) -> ImportStatus:
        """How it ended."""
        return msgspec.msgpack.decode(self.summary.status, type=ImportStatus)


class ImportBook:
    """Every import that the journal knows."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.lives: dict[str, ImportLife] = {}
        self.ended: dict[str, EndedImport] = {}
        self._forgotten: dict[str, Forgotten] = {}
        # A key is its asker's own: who guesses another's must neither learn of his import nor be taken for him.
        self._by_key: dict[tuple[str, str], str] = {}
        self._by_digest: dict[str, list[str]] = {}
        self._last_number = 0
        for record in records:
            self.apply(record)

    def over(self) -> tuple[str, ...]:
        """The imports that want nothing any more of what is held for them."""
        cancelled = (one.import_id for one in self.lives.values() if one.state == "cancelled")
        return (*self.ended, *self._forgotten, *cancelled)

    def unknown(self, held_ids: Iterable[str]) -> tuple[str, ...]:
        """Those of these for which something is held and which this book does not know; no new one is called so."""
        found = tuple(
            one for one in held_ids if one not in self.lives and one not in self.ended and one not in self._forgotten
        )
        # Of a journal that was lost: what is held for them must not be taken for a new import's.
        self.begin_behind(one for one in found if _OWN_ID.fullmatch(one))
        return found

    def ordered_from(self, agent: str) -> tuple[tuple[str, Workstation], ...]:
        """The open imports from an agent, the newest last, each with the workstation that had the name then.

        One that has failed is open: it can be taken up again.
        """
        return tuple(
            (name, one.workstation)
            for name, one in self.lives.items()
            if one.order.agent == agent and one.state != "cancelled"
        )

    def is_listed(self, import_id: str) -> bool:
        """Whether an import is on the list, and nobody has given it up."""
        found = self.find(import_id)
        return found is not None and found.state != "cancelled"

    def listed(
        self,
        *,
        limit: int,
        before: str,
        state: ImportState | str,
        shown: Callable[[ImportLife | EndedImport], bool] = lambda one: True,
    ) -> tuple[ImportStatus, ...]:
        """The newest imports in this state, or in any, the newest first, from below ``before`` on; those ``shown``."""
        entries: dict[str, ImportLife | EndedImport] = {**self.ended, **self.lives}
        found = (entries[name] for name in newest_first(entries, before=before))
        lines = (one.status().listed() for one in found if (not state or one.state == state) and shown(one))
        return tuple(islice(lines, bounded(limit)))

    def apply(self, record: Record) -> None:
        """Take a record in."""
        self._last_number = max(self._last_number, number_of(record.import_id))
        match record:
            case Accepted():
                self.lives[record.import_id] = life = ImportLife(record)
                self._by_key[life.asker, record.key] = record.import_id
            case Summary():
                self.lives.pop(record.import_id, None)
                self.ended[record.import_id] = ended = EndedImport(record)
                self._by_key[ended.asker, record.key] = record.import_id
                self._note_digest(ended.digest, record.import_id)
            case Forgotten():
                asker, key = (record.asker, record.key) if record.key else self._key_of(record.import_id)
                in_place = record.in_place or self._left_in_place(record.import_id)
                for one in (self.lives.pop(record.import_id, None), self.ended.pop(record.import_id, None)):
                    if one is not None:
                        self._drop_digest(one.digest, record.import_id)
                self._by_key[asker, key] = record.import_id
                forgotten = msgspec.structs.replace(record, asker=asker, key=key, in_place=in_place)
                self._forgotten[record.import_id] = forgotten
            case _ if record.import_id in self.ended:
                # What came behind the end changes nothing any more, but for who has heard of it.
                ended = self.ended[record.import_id]
                if isinstance(record, Told) and record.of == ended.untold:
                    ended.summary = msgspec.structs.replace(ended.summary, untold="")
            case _ if record.import_id in self.lives:
                self._move(self.lives[record.import_id], record)

    def _move(self, life: ImportLife, record: Record) -> None:
        life.apply(record)
        if isinstance(record, Settled):
            self._note_digest(record.digest, life.import_id)
        if life.state == "done":
            # What only work needs, such as 100,000 checksums, goes with the work.
            del self.lives[life.import_id]
            self.ended[life.import_id] = EndedImport(_summary(life))

    def _note_digest(self, digest: str, import_id: str) -> None:
        known = self._by_digest.setdefault(digest, [])
        if digest and import_id not in known:
            known.append(import_id)

    def _drop_digest(self, digest: str, import_id: str) -> None:
        known = self._by_digest.get(digest, [])
        if import_id in known:
            known.remove(import_id)
        if not known:
            self._by_digest.pop(digest, None)

    def find(self, import_id: str) -> ImportLife | EndedImport | None:
        """The import of this id."""
        return self.lives.get(import_id) or self.ended.get(import_id)

    def begin_behind(self, import_ids: Iterable[str]) -> None:
        """Give none of these ids to a new import: a journal that was lost may have known them."""
        self._last_number = max(self._last_number, *map(number_of, import_ids), 0)

    def new_id(self) -> str:
        """An id that no import has had."""
        self._last_number += 1
        return f"import-{self._last_number:04d}"

    def by_key(self, asker: str, key: str) -> str | None:
        """The import that ``asker`` submitted under this key, if any; others' keys are others'."""
        return self._by_key.get((asker, key)) if asker else None

    def same_as(self, digest: str, *, but: str = "") -> str | None:
        """An import of the same files that is done or on its way to it, if any; ``but`` is not looked at.

        One that failed when its plates may have been there already is as good as done.
        """
        for import_id in self._by_digest.get(digest, ()) if digest else ():
            life = self.lives.get(import_id)
            at_work = (
                life is not None
                and life.digest == digest
                and (life.state not in ("failed", "cancelled") or (life.state == "failed" and life.may_have_plates))
            )
            if import_id != but and (at_work or import_id in self.ended):
                return import_id
        return None

    def in_place_at(self, path: str, *, ended: bool) -> str:
        """An import that has what lies at a path in place, or below it or above, or is about to; empty if none has.

        Those that are done count only if ``ended`` says so: the local repository knows better what they have.
        """
        return next((name for name, other in self.in_place(ended=ended) if _is_at(other, path)), "")

    def in_place(self, *, ended: bool) -> Iterable[tuple[str, str]]:
        """The imports that have a path in place, or are about to, each with that path; ``ended`` as in ``in_place_at``.

        One that is off the list has it all the same, however long its key is known.
        """
        for import_id, life in self.lives.items():
            if life.state != "cancelled" and (path := _place_of(life.order)):
                yield import_id, path
        if ended:
            for import_id, one in self.ended.items():
                if path := one.in_place:
                    yield import_id, path
            yield from ((name, one.in_place) for name, one in self._forgotten.items() if one.in_place)

    def has_in_place(self, files: Iterable[SourceFile]) -> str:
        """An import under way that has, or is about to have, one of these files in place; empty if none has."""
        marks = {file.mark for file in files if file.mark}
        for import_id, life in self.lives.items():
            if life.state != "cancelled" and _place_of(life.order) and any(file.mark in marks for file in life.files):
                return import_id
        return ""

    def untold(self) -> tuple[str, ...]:
        """The imports of whose end nobody has heard."""
        known: dict[str, ImportLife | EndedImport] = {**self.ended, **self.lives}
        return tuple(import_id for import_id, one in known.items() if one.untold)

    def outlived(self, retention: Retention, now_unix_s: float) -> tuple[str, ...]:
        """The finished imports that are to be forgotten: of each somebody has heard."""
        told = ((name, one.ended_at_unix_s) for name, one in self.ended.items() if not one.untold)
        return outlived(told, retention, now_unix_s)

    def drop_old_keys(self, retention: Retention, now_unix_s: float) -> None:
        """Let the keys go that nobody asks under any more, but the last import's: none gets its id a second time."""
        last = max(map(number_of, [*self.lives, *self.ended, *self._forgotten]), default=0)
        for name, forgotten in list(self._forgotten.items()):
            if forgotten.at_unix_s < now_unix_s - retention.key_s and number_of(name) < last:
                self._by_key.pop((forgotten.asker, forgotten.key), None)
                if forgotten.in_place:
                    self._forgotten[name] = msgspec.structs.replace(forgotten, asker="", key="")
                else:
                    del self._forgotten[name]

    def statistics(self) -> dict[str, int | float | str]:
        """How much is remembered."""
        packed_bytes = sum(len(one.summary.status) for one in self.ended.values())
        return {"imports_ended": len(self.ended), "imports_ended_bytes": packed_bytes, "keys": len(self._by_key)}

    def compacted(self) -> tuple[Record, ...]:
        """The records that a checkpoint needs: a summary of each import that is done, everything of the others."""
        ended: list[Record] = [one.summary for one in self.ended.values()]
        return (
            *ended,
            *self._forgotten.values(),
            *(record for life in self.lives.values() for record in life.records),
        )

    def _left_in_place(self, import_id: str) -> str:
        """What an import that goes off the list has in place; one that failed may have had its plates made."""
        life, ended = self.lives.get(import_id), self.ended.get(import_id)
        if life is not None:
            return _place_of(life.order) if life.state != "cancelled" and life.may_have_plates else ""
        return ended.in_place if ended is not None else ""

    def _key_of(self, import_id: str) -> tuple[str, str]:
        life = self.lives.get(import_id)
        ended = self.ended.get(import_id)
        if life is not None:
            return life.asker, life.key
        return (ended.asker, ended.summary.key) if ended is not None else ("", "")


def _place_of(order: ImportOrder) -> str:
    """The path that is imported in place; empty for what is copied."""
    return order.path if order.mode == "in-place" and not order.agent else ""


def _is_at(path: str, other: str) -> bool:
    """Whether two paths are the same, or one lies below the other."""
    one, two = (f"{each.rstrip('/')}/" for each in (path, other))
    return one.startswith(two) or two.startswith(one)


def _summary(life: ImportLife) -> Summary:
    return Summary(
        import_id=life.import_id,
        at_unix_s=life.history[-1].at_unix_s,
        key=life.key,
        asker=life.asker,
        status=msgspec.msgpack.encode(life.status()),
        untold=life.untold,
    )
