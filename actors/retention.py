"""How long what has ended is remembered: as many as the settings say, for as long as they say (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

DAY_S = 86_400.0

FRESH_S = 3_600.0
"""What ended within this time is kept, however many there are: those who wait for an end must be able to ask for it."""

KEY_S = 30 * DAY_S
"""For so long after an import or job was forgotten its key still gets its id, and nothing is done twice."""

LOOK_S = 3_600.0
"""Time between two looks at what may be forgotten."""


class Retention(NamedTuple):
    """What the settings say of ended imports, or of ended jobs."""

    keep_days: float = 365.0
    keep_ended: int = 1_000


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
