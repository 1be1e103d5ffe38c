"""What peers did that they should not have: counted all, logged a few."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

log = logging.getLogger(__name__)

FADES_S = 60.0
"""A count is halved for each such time in which nothing was added to it."""
REMINDED_S = 600.0
"""What goes on is told again after so long, however many there were."""
MAX_LETTERS = 500
"""What a peer said may stand in what is told of it, and it says as much as it likes."""
MAX_COUNTS = 256
"""Kinds and keys that are counted apart; a stranger makes as many keys as he likes."""


class _Count(msgspec.Struct):
    n: int = 0
    last_s: float = 0.0
    told_s: float = 0.0


class Offences:
    """Counts by kind and key, and logs a line for each power of two: a flood of offences is no flood of lines."""

    def __init__(self, where: str, *, now: Callable[[], float] = time.monotonic, max_counts: int = MAX_COUNTS) -> None:
        """Count what happens at ``where``; those beyond ``max_counts`` share the count of their kind."""
        self._where = where
        self._now = now
        self._max_counts = max_counts
        self._counts: dict[tuple[str, str], _Count] = {}
        self.n = 0

    def add(self, kind: str, key: str, what: str) -> bool:
        """One more of this kind under this key; whether it was worth a line."""
        self.n += 1
        now = self._now()
        count = self._count(kind, key, now)
        count.n = (count.n >> min(int((now - count.last_s) / FADES_S), count.n.bit_length())) + 1
        count.last_s = now
        telling = count.n & (count.n - 1) == 0 or now - count.told_s >= REMINDED_S
        if telling:
            count.told_s = now
            log.warning("refused on %s: %s (%d so far)", self._where, what[:MAX_LETTERS], count.n)
        return telling

    def _count(self, kind: str, key: str, now: float) -> _Count:
        counts = self._counts
        found = counts.get((kind, key))
        if found is None:
            if len(counts) >= self._max_counts:
                self._counts = counts = {
                    name: one for name, one in counts.items() if now - one.last_s < FADES_S * one.n.bit_length()
                }
            if len(counts) >= self._max_counts:
                key = ""
            found = counts.setdefault((kind, key), _Count(last_s=now, told_s=now))
        return found
