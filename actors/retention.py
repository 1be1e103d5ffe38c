"""How long what has ended is remembered: as many as the settings say, for as long as they say (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

DAY_S = 86_400.0

FRESH_S = 3_600.0
"""What ended within this time is kept, however many there are: those who wait for an end must be able to ask for it."""

LOOK_S = 3_600.0
"""The longest time between two looks at what may be forgotten."""
LOOKS = 10
"""Looks in the time for which something is kept, where that is shorter than some hours; one a second at the most."""


def settling_s(kept_s: float) -> float:
    """For how long after a start nothing is held for ``kept_s`` old: a computer may come up with a wrong clock."""
    return min(LOOK_S, kept_s / LOOKS)


class Retention(NamedTuple):
    """What the settings say of ended imports, or of ended jobs."""

    keep_days: float = 365.0
    keep_ended: int = 1_000
    keep_keys_days: float = 30.0
    """For so long after an import or job was forgotten its key still gets its id, and nothing is done twice."""

    @property
    def look_s(self) -> float:
        """Time between two looks at what may be forgotten."""
        return min(LOOK_S, max(1.0, min(self.keep_days, self.keep_keys_days) * DAY_S / LOOKS))

    @property
    def key_s(self) -> float:
        """How long the key of something forgotten is known."""
        return self.keep_keys_days * DAY_S


def outlived(ended: Iterable[tuple[str, float]], retention: Retention, now_unix_s: float) -> tuple[str, ...]:
    """The names that are to be forgotten of these, each with when it ended; the longest ended first."""
    oldest = now_unix_s - retention.keep_days * DAY_S
    in_order = sorted(ended, key=lambda one: one[1])
    n_beyond = len(in_order) - retention.keep_ended
    return tuple(
        name
        for n_before, (name, ended_at_unix_s) in enumerate(in_order)
        if ended_at_unix_s < oldest or (n_before < n_beyond and ended_at_unix_s < now_unix_s - FRESH_S)
    )
