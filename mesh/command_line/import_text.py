"""What people read about imports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..config.written_out import shown
from .printing import bytes_text, console, counted, moment_text, row, state_text, table
from .text_form import print_listed

if TYPE_CHECKING:
    from ..messages.imports import ImportStatus

DIGEST_SHOWN = 16


def print_imports(imports: Iterable[ImportStatus], state: str = "") -> None:
    """The list of imports, all or those in a ``state``, with why each waits or failed."""
    listed = table("import", "state", "phase", "plates", "files", "size", "source", "why", right=("files", "size"))
    for one in imports:
        plates = ", ".join(map(str, one.plate_ids))
        size = bytes_text(one.n_bytes)
        row(listed, one.import_id, state_text(one.state), one.phase, plates, one.n_files, size, one.source, one.reason)
    print_listed(
        listed,
        f"no import is {state}: hcs-mesh imports lists the others" if state else "no imports yet: hcs-mesh import PATH",
    )


def print_end(one: ImportStatus) -> None:
    """In a line, how an import among several ended."""
    plates = f"plates {', '.join(map(str, one.plate_ids))}" if one.plate_ids else ""
    words = (shown(word) for word in (plates, f"from {one.source}", one.reason) if word)
    console().print(one.import_id, state_text(one.state), *words, markup=False, soft_wrap=True)


def print_import(one: ImportStatus) -> None:
    """One import with its history."""
    out = console()
    out.print(
        one.import_id,
        state_text(one.state),
        f"phase {one.phase}",
        f"from {shown(one.source)}",
        markup=False,
        soft_wrap=True,
    )
    if one.plate_ids:
        size = f"{counted(one.n_files, 'file')}, {bytes_text(one.n_bytes)}"
        out.print("plates", ", ".join(map(str, one.plate_ids)), size)
    for name, value in _facts(one):
        if value:
            out.print(f"{name}:", shown(value), markup=False, soft_wrap=True)
    if one.reason:
        out.print(shown(one.reason), markup=False, soft_wrap=True)
    if one.hint:
        out.print("hint:", shown(one.hint), markup=False, soft_wrap=True)
    for note in one.notes:
        out.print("note:", shown(note), markup=False, soft_wrap=True)
    history = table("when", "phase", "state", "note")
    for entry in one.history:
        row(history, moment_text(entry.at_unix_s), entry.phase, state_text(entry.state), entry.note)
    if one.history:
        out.print(history)


def _facts(one: ImportStatus) -> tuple[tuple[str, str], ...]:
    """What was asked for and what is known, by name; what is empty is not told."""
    order = one.order
    containers = (("screen", order.screen), ("project", order.project), ("dataset", order.dataset))
    target = (*containers, ("group", order.group), ("name", order.name))
    how = (
        *(("in place",) if order.mode == "in-place" else ()),
        *((f"{order.priority} priority",) if order.priority != "normal" else ()),
        *(("taken as it is",) if order.ended else ()),
        *(("though it was imported before",) if order.forced else ()),
        *(("the source is to be deleted once it is certified",) if _is_to_be_deleted(one) else ()),
    )
    what = (
        *((f"by the pattern {order.pattern}",) if order.pattern else ()),
        *(("as files, unread",) if order.as_files else ()),
        *((f"{counted(order.depth, 'level')} deep",) if order.depth else ()),
        *((f"without {', '.join(order.exclude)}",) if order.exclude else ()),
        *((f"of the folder {counted(len(order.only), 'file')} alone",) if order.only else ()),
    )
    return (
        ("owner", one.owner),
        ("taken", ", ".join(what)),
        ("target", ", ".join(f"{name} {value}" for name, value in target if value)),
        ("description", order.description),
        ("tags", ", ".join(order.tags)),
        ("key-values", ", ".join(f"{key}={value}" for key, value in order.key_values)),
        ("comment", order.comment),
        ("mail", order.mail),
        ("how", ", ".join(how)),
        ("held", one.held),
        ("held for you alone", bytes_text(one.n_bytes_held) if one.n_bytes_held else ""),
        ("certificate", one.certificate or one.certificate_note),
        ("source", "deleted, as ordered" if one.source_deleted else one.deletion_note.removeprefix("the source ")),
        ("digest", one.digest[:DIGEST_SHOWN]),
    )


def _is_to_be_deleted(one: ImportStatus) -> bool:
    """Whether the mesh will still try: what it could not delete it leaves, and says why."""
    tried = one.source_deleted or bool(one.deletion_note)
    return one.order.delete_source and one.state in ("running", "waiting", "failed") and not tried
