"""The numbers of plates: each place has a span of them for good, so that no two plates have the same (pure)."""

from __future__ import annotations

SPAN = 1_000_000_000
HOME = 0
"""The span of the repository that takes imports: its own numbers, from 1."""
HTTP = 1
"""The span of plates that are served by HTTP."""


def span_of(plate_id: int) -> int:
    """The span that a number lies in."""
    return plate_id // SPAN
