"""For how long a key is shut out that makes connections over which nothing can be heard (pure)."""

from __future__ import annotations

from .unheard import LOOK_S

FIRST_LOOKS = round(60.0 / LOOK_S)
"""A key is shut out for a minute, in looks, and each further time for twice as long,"""
LONGEST_LOOKS = round(3_600.0 / LOOK_S)
"""up to an hour; when it has been in for as long without being shut out, that is forgotten."""


class ShutOuts:
    """Knows when each key that was shut out may come in again."""

    def __init__(self) -> None:
        """Nobody is shut out."""
        self._until: dict[str, int] = {}
        self._last: dict[str, tuple[int, int]] = {}

    def begin(self, key: str, now: int) -> float:
        """Shut a key out from the look ``now`` on; returns for how long, in seconds."""
        ended, n_looks = self._last.get(key, (0, 0))
        n_looks = min(2 * n_looks, LONGEST_LOOKS) if n_looks and now - ended <= LONGEST_LOOKS else FIRST_LOOKS
        self._until[key] = now + n_looks
        self._last[key] = now + n_looks, n_looks
        return n_looks * LOOK_S

    def over(self, now: int) -> list[str]:
        """The keys that may come in again, each once."""
        over = [key for key, until in self._until.items() if now >= until]
        for key in over:
            del self._until[key]
        return over
