"""What is to be said of a plan beside its numbers: what is missing, and what stays behind (pure)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from ...plates.planners import Plan
from ...plates.planners.plan import THUMBNAIL

N_SHOWN = 3


def plan_notes(plan: Plan) -> tuple[str, ...]:
    """Sentences for people, the plates' own first."""
    return (*_of_plates(plan), *_stayed_behind(plan))


def late_notes(n_files: int, named: tuple[str, ...], source: str) -> tuple[str, ...]:
    """What came after the source had settled; nothing if nothing did."""
    if not n_files:
        return ()
    shown = ", ".join(named[:N_SHOWN]) + (", ..." if n_files > N_SHOWN else "")
    what = f"{n_files} file{'s' if n_files > 1 else ''} came or grew after it had settled: {shown}"
    # Quoted: people paste this into a shell, and others chose the name.
    return (f"{what}; hcs-mesh import --force {shlex.quote(source)} imports it again",)


def late_files(plan: Plan, now: Mapping[str, int]) -> tuple[str, ...]:
    """Of the files that a source holds now, with their sizes, those that are not as the plan takes or leaves them."""
    taken = {file.path: file.n_bytes for fileset in plan.filesets for file in fileset.files}
    left = {one.path for one in plan.left_out}
    late = (
        path
        for path, size in now.items()
        if (size != taken[path] if path in taken else not left.intersection(_with_folders(path)))
    )
    return tuple(sorted(late))


def _with_folders(path: str) -> Iterator[str]:
    """A path and every folder that it lies in."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _of_plates(plan: Plan) -> Iterator[str]:
    for plate in plan.plates:
        yield from plate.notes
    for plate in plan.plates:
        if plate.missing:
            n = len(plate.missing)
            what = "1 image that the metadata declares is" if n == 1 else f"{n} images that the metadata declares are"
            yield f"{plate.name}: {what} missing"


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
