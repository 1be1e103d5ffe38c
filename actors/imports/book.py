"""The book of imports: every one that the journal knows, at work or ended (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from ...messages.imports import ImportState, ImportStatus
from ...messages.listing import bounded, newest_first, number_of
from ..retention import KEY_S, Retention, outlived
from .life import ImportLife
from .records import Accepted, Forgotten, Record, Settled, Summary, Told


class _Brief(msgspec.Struct, frozen=True):
    digest: str = ""
    owner: str = ""


class EndedImport:
    """An import that is done: its status, as the journal has it, and nothing to work with."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        # The rest is read when somebody asks: as objects, ten thousand are several times as large.
        brief = msgspec.msgpack.decode(summary.status, type=_Brief)
        self.digest = brief.digest
        """What tells its manifest from others."""
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

    def alive_at(self, agent: str) -> tuple[str, ...]:
        """The imports from an agent that may still want what is held for them there."""
        return tuple(
            one.import_id for one in self.lives.values() if one.order.agent == agent and one.state != "cancelled"
        )

    def listed(self, *, limit: int, before: str, state: ImportState | str) -> tuple[ImportStatus, ...]:
        """The newest imports in this state, or in any, the newest first, from below ``before`` on."""
        entries: dict[str, ImportLife | EndedImport] = {**self.ended, **self.lives}
        found = (entries[name] for name in newest_first(entries, before=before))
        lines = (one.status().listed() for one in found if not state or one.state == state)
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
                for one in (self.lives.pop(record.import_id, None), self.ended.pop(record.import_id, None)):
                    if one is not None:
                        self._drop_digest(one.digest, record.import_id)
                self._by_key[asker, key] = record.import_id
                self._forgotten[record.import_id] = msgspec.structs.replace(record, asker=asker, key=key)
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
        """An import of the same files that is done or on its way to it, if any; ``but`` is not looked at."""
        for import_id in self._by_digest.get(digest, ()) if digest else ():
            life = self.lives.get(import_id)
            at_work = life is not None and life.digest == digest and life.state not in ("failed", "cancelled")
            if import_id != but and (at_work or import_id in self.ended):
                return import_id
        return None

    def untold(self) -> tuple[str, ...]:
        """The imports of whose end nobody has heard."""
        known: dict[str, ImportLife | EndedImport] = {**self.ended, **self.lives}
        return tuple(import_id for import_id, one in known.items() if one.untold)

    def outlived(self, retention: Retention, now_unix_s: float) -> tuple[str, ...]:
        """The finished imports that are to be forgotten: of each somebody has heard."""
        told = ((name, one.ended_at_unix_s) for name, one in self.ended.items() if not one.untold)
        return outlived(told, retention, now_unix_s)

    def drop_old_keys(self, now_unix_s: float) -> None:
        """Let the keys go that nobody asks under any more, but the last import's: none gets its id a second time."""
        last = max(map(number_of, [*self.lives, *self.ended, *self._forgotten]), default=0)
        for name, forgotten in list(self._forgotten.items()):
            if forgotten.at_unix_s < now_unix_s - KEY_S and number_of(name) < last:
                del self._forgotten[name]
                self._by_key.pop((forgotten.asker, forgotten.key), None)

    def compacted(self) -> tuple[Record, ...]:
        """The records that a checkpoint needs: a summary of each import that is done, everything of the others."""
        ended: list[Record] = [one.summary for one in self.ended.values()]
        return (
            *ended,
            *self._forgotten.values(),
            *(record for life in self.lives.values() for record in life.records),
        )

    def _key_of(self, import_id: str) -> tuple[str, str]:
        life = self.lives.get(import_id)
        ended = self.ended.get(import_id)
        if life is not None:
            return life.asker, life.key
        return (ended.asker, ended.summary.key) if ended is not None else ("", "")


def _summary(life: ImportLife) -> Summary:
    return Summary(
        import_id=life.import_id,
        at_unix_s=life.history[-1].at_unix_s,
        key=life.key,
        asker=life.asker,
        status=msgspec.msgpack.encode(life.status()),
        untold=life.untold,
    )
