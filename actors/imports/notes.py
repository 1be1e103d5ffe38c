"""What is to be said of a plan beside its numbers: what is missing, and what stays behind (pure)."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from ...messages.imports import ImportOrder
from ...plates.planners import Plan
from ...plates.planners.plan import THUMBNAIL

N_SHOWN = 3


def plan_notes(plan: Plan) -> tuple[str, ...]:
    """Sentences for people, the plates' own first."""
    return (*_of_plates(plan), *_stayed_behind(plan))


def late_notes(n_files: int, named: tuple[str, ...], order: ImportOrder) -> tuple[str, ...]:
    """What came after the source had settled; nothing if nothing did."""
    if not n_files:
        return ()
    return (f"{_what_came(n_files, named)}; {_again(order)} imports it again",)


def stays_for_late(n_files: int, named: tuple[str, ...], order: ImportOrder) -> str:
    """Why a source stays of which more came after it had settled, and how all of it is imported and deleted."""
    again = f"{_again(order, '--delete-source ')} imports and deletes all of it"
    return f"{_what_came(n_files, named)}, so that it may not have ended; once nothing more comes, {again}"


def _what_came(n_files: int, named: tuple[str, ...]) -> str:
    shown = ", ".join(named[:N_SHOWN]) + (", ..." if n_files > N_SHOWN else "")
    return f"{n_files} file{'s' if n_files > 1 else ''} came or grew after it had settled: {shown}"


def _again(order: ImportOrder, more: str = "") -> str:
    """The command that imports a source anew."""
    # Quoted: people paste this into a shell, and others chose the names.
    agent = f"--agent {shlex.quote(order.agent)} " if order.agent else ""
    return f"hcs-mesh import --force {more}{agent}{shlex.quote(order.path)}"


def late_files(plan: Plan, now: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Of the files that a source holds now, with their sizes, those that are not as the plan takes or leaves them."""
    taken = {file.path: file.n_bytes for fileset in plan.filesets for file in fileset.files}
    left = {one.path for one in plan.left_out}
    late = (
        path
        for path, size in now
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
        if n := plate.n_missing:
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
