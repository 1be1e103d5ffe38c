"""What is to be said of a plan beside its numbers: what is missing, and what stays behind (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from ..plates.planners import Plan
from ..plates.planners.plan import THUMBNAIL

N_SHOWN = 3


def plan_notes(plan: Plan) -> tuple[str, ...]:
    """Sentences for people, the plates' own first."""
    return (*_of_plates(plan), *_stayed_behind(plan))


def _of_plates(plan: Plan) -> Iterator[str]:
    for plate in plan.plates:
        yield from plate.notes
    for plate in plan.plates:
        if plate.missing:
            yield f"{plate.name}: {len(plate.missing)} images that the metadata declares are missing"


def _stayed_behind(plan: Plan) -> Iterator[str]:
    """What was not taken over, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for left in plan.left_out:
        reasons.setdefault(left.reason, []).append(left.path)
    for reason, paths in reasons.items():
        n = len(paths)
        if reason == THUMBNAIL:
            yield f"{n} thumbnail{'s' if n > 1 else ''} stayed behind"
        else:
            shown = ", ".join(paths[:N_SHOWN]) + (", ..." if n > N_SHOWN else "")
            yield f"{n} file{'s' if n > 1 else ''} stayed behind, {reason}: {shown}"
