"""``hcs-mesh watches``: what was seen in watched folders, and what became of it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..messages.watches import WatchStatus
from .asking import Question
from .printing import console, counted, moment_text, print_json, row, state_text, table

N_NAMED = 10
"""Units that are named for each folder; all of them are in the form for machines."""


def list_all(question: Question) -> None:
    """List every watched folder.

    Raises:
        MeshError: no mesh is up there, or it refused.
    """
    watches = question.ask(lambda mesh: mesh.watches())
    if question.as_json:
        print_json([_form(one) for one in watches])
        return
    out = console()
    if not watches:
        out.print("no folder is watched: the settings name them, a table [[watch]] each", markup=False)
        return
    numbers = ("units", "handed over", "late files")
    listed = table("name", "folder", "state", "looked at", *numbers, right=numbers)
    for one in watches:
        state = state_text("up" if one.state == "there" else one.state)
        state.plain = one.state
        moment = moment_text(one.looked_at_unix_s)
        row(listed, one.name, one.folder, state, moment, one.n_units, one.n_handed_over, one.n_late_files)
    out.print(listed)
    for one in watches:
        for line in _lines(one):
            out.print(line, markup=False, soft_wrap=True)


def _lines(one: WatchStatus) -> list[str]:
    found = [f"{one.name}: {one.reason}"] if one.reason else []
    found += [f"{one.name}: {waiting.unit} waits: {waiting.reason}" for waiting in one.waiting[:N_NAMED]]
    if len(one.waiting) > N_NAMED:
        found.append(f"{one.name}: {len(one.waiting) - N_NAMED} more wait")
    for late in one.late[:N_NAMED]:
        named = ", ".join(late.files[:3]) + (", ..." if late.n_files > 3 else "")
        files = counted(late.n_files, "file")
        found.append(f"{one.name}: {late.unit}: {files} came after {late.import_id} was done: {named}")
    return found


def _form(watch: WatchStatus) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(watch)
    told["waiting"] = [msgspec.to_builtins(one) for one in watch.waiting]
    told["late"] = [
        {"unit": one.unit, "import": one.import_id, "n_files": one.n_files, "files": list(one.files)}
        for one in watch.late
    ]
    return told
