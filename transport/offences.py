"""What peers did that they should not have: counted all, logged a few."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Offences:
    """Counts, and logs one line for each power of two: a flood of offences is no flood of lines."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.n = 0

    def add(self, what: str) -> bool:
        """One more; whether it was worth a line."""
        self.n += 1
        telling = self.n & (self.n - 1) == 0
        if telling:
            log.warning("refused on %s: %s (%d so far)", self._where, what, self.n)
        return telling
