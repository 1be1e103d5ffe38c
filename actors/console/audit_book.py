"""What the journal holds of the audit trail, and how much of it is kept (pure)."""

from __future__ import annotations

from collections import deque

import msgspec

from ...messages.audit import Act, Outcome
from ...transport.messages import Role


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one act; both have its number."""

    number: int
    at_unix_s: float


class Asked(AuditRecord, frozen=True, kw_only=True, tag="audit.asked"):
    """Somebody who may asked for it; written before it is done. ``actor`` is empty for the whole mesh."""

    key: str
    """What whoever does it calls it, who knows no number."""
    by: str
    role: Role
    what: Act
    actor: str = ""


class Ended(AuditRecord, frozen=True, kw_only=True, tag="audit.ended"):
    """How it ended; an act without this was cut short with the mesh, or its end could not be written."""

    outcome: Outcome
    error: str = ""


Record = Asked | Ended


class AuditBook:
    """The newest records, and the next act's number."""

    def __init__(self, n_kept: int) -> None:
        """Keep the newest ``n_kept``."""
        self._n_kept = n_kept
        self._records: deque[Record] = deque()
        self._numbers: dict[str, int] = {}
        """Of the acts that are kept, by key."""
        self._ended: set[int] = set()
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._records)

    def apply(self, record: Record) -> None:
        """Take a record in; beyond what is kept, the oldest is forgotten."""
        self._records.append(record)
        self._last_number = max(self._last_number, record.number)
        if isinstance(record, Asked):
            self._numbers[record.key] = record.number
        else:
            self._ended.add(record.number)
        if len(self._records) > self._n_kept:
            oldest = self._records.popleft()
            if isinstance(oldest, Asked):
                del self._numbers[oldest.key]
            else:
                self._ended.discard(oldest.number)

    def compacted(self) -> tuple[Record, ...]:
        """The records that a checkpoint needs."""
        return tuple(self._records)

    def number_of(self, key: str) -> int | None:
        """The number of an act; None of one that is not written, or not kept any more."""
        return self._numbers.get(key)

    def has_ended(self, number: int) -> bool:
        """Whether it is written how this act ended."""
        return number in self._ended

    def next_number(self) -> int:
        """A number that no act has had; of two that are asked at once each gets its own."""
        self._last_number += 1
        return self._last_number
