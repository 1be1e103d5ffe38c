"""Lists that stay small whatever a mesh has done: how many entries an answer holds, and how much of each (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter

LISTED = 100
"""Entries of a list, where nobody asked for more or fewer."""

MOST_LISTED = 1_000
"""The most entries that one answer holds."""

LONGEST_LISTED = 400
"""Characters of a text that a list shows; whoever asks for the one thing gets all of it."""

LONGEST_KEY = 10_000
"""Characters of the key under which something is handed over, which is kept for weeks; that of a watch holds paths."""


def shortened(text: str) -> str:
    """Text as a list shows it."""
    return text if len(text) <= LONGEST_LISTED else text[: LONGEST_LISTED - 1] + "…"


def number_of(name: str) -> int:
    """The number in the name of an import or job; 0 where there is none."""
    digits = name.rpartition("-")[2]
    # More digits than a counter ever has are nobody's number, and thousands of them take Python long to read.
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else 0


def newest_first(names: Iterable[str], *, before: str) -> Iterator[str]:
    """These names from the highest number down, from below ``before`` on if there is one."""
    bound = number_of(before) if before else None
    numbered = [(number_of(name), name) for name in names]
    if bound is not None:
        numbered = [one for one in numbered if one[0] < bound]
    # By the number alone: those of one number stay as they came.
    numbered.sort(key=itemgetter(0), reverse=True)
    return (name for _, name in numbered)


def bounded(limit: int) -> int:
    """How many entries an answer holds of which somebody wanted ``limit``."""
    return min(max(limit, 1), MOST_LISTED)
