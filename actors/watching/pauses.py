"""The pauses of what could not be done: each thing waits alone, longer each time, and is told of once (pure)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

LONGEST_PAUSE_S = 3_600.0
"""Between two attempts at what fails each time."""


class _Pause(NamedTuple):
    until_s: float
    next_s: float
    reason: str


class Pauses:
    """Knows what is not to be tried yet, in the time of a clock that only goes on."""

    def __init__(self, first_s: float) -> None:
        """Begin with a pause of ``first_s``; each one after another failure is twice as long."""
        self._first_s = first_s
        self._kept: dict[Hashable, _Pause] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def is_due(self, what: Hashable, now_s: float) -> bool:
        """Whether it may be tried."""
        return what not in self._kept or now_s >= self._kept[what].until_s

    def failed(self, what: Hashable, reason: str, *, now_s: float, longest_s: float = LONGEST_PAUSE_S) -> bool:
        """Let it wait before it is tried again; whether the reason is another one than the time before."""
        before = self._kept.get(what)
        pause_s = min(before.next_s if before is not None else self._first_s, longest_s)
        # What nobody has tried since is gone, or another by name: it would be kept for ever.
        self._kept = {one: kept for one, kept in self._kept.items() if kept.until_s + LONGEST_PAUSE_S > now_s}
        self._kept[what] = _Pause(now_s + pause_s, 2 * pause_s, reason)
        return before is None or before.reason != reason

    def over(self, what: Hashable) -> bool:
        """Forget that it waited, and say whether it did."""
        return self._kept.pop(what, None) is not None
