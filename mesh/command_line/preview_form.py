"""What an import would do, for people and for machines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from ..config.written_out import shown
from .printing import bytes_text, console, counted, named_of, row, table

if TYPE_CHECKING:
    from ..messages.imports import ImportOrder, ImportPreview
    from ..plates.model import Plate

MAX_MISSING = 10
MAX_LEFT_OUT = 10


def preview_machine_form(order: ImportOrder, preview: ImportPreview) -> dict[str, Any]:
    """What an order would do, under the keys that scripts rely on."""
    plan = preview.plan
    return {
        "source": order.path,
        "n_files": plan.n_files,
        "n_bytes": plan.n_bytes,
        "plates": [_plate_form(one, order) for one in plan.plates],
        "filesets": [
            {"planner": one.planner, "root": one.root, "n_files": len(one.files), "n_bytes": one.n_bytes}
            for one in plan.filesets
        ],
        "left_out": [msgspec.to_builtins(one) for one in plan.left_out],
        "notes": list(preview.notes),
        "pending": list(preview.pending),
        "same_as": preview.same_as or None,
        "estimated_s": preview.estimated_s or None,
    }


def _plate_form(plate: Plate, order: ImportOrder) -> dict[str, Any]:
    images = list(plate.images())
    return {
        "name": _name(plate, order),
        "kind": plate.kind,
        "n_wells": len({one.well for one in images if one.well}),
        "n_fields": len({(one.well, one.field) for one in images}),
        "channels": list(plate.channels),
        "n_channels": len({one.c for one in images}),
        "n_z": len({one.z for one in images if one.kind == "plane"}),
        "n_t": len({one.t for one in images}),
        "n_images": len(images),
        "n_missing": plate.n_missing,
        "missing": [msgspec.to_builtins(one) for one in plate.missing],
    }


def _name(plate: Plate, order: ImportOrder) -> str:
    return order.name or plate.name


def print_preview(order: ImportOrder, preview: ImportPreview) -> None:
    """What an order would do."""
    out = console()
    plan = preview.plan

    def say(*words: str) -> None:
        out.print(*map(shown, words), markup=False, soft_wrap=True)

    long = (
        f", about {span_text(preview.estimated_s)} at the present rate"
        if preview.estimated_s
        else ", how long is not known yet: too little was imported since the mesh is up"
    )
    say(f"{order.path}: {counted(plan.n_files, 'file')}, {bytes_text(plan.n_bytes)}{long}")
    told = [_plate_form(one, order) for one in plan.plates]
    if told:
        numbers = ("wells", "fields", "channels", "z", "t", "images", "missing")
        listed = table("plate", "kind", *numbers, right=numbers)
        for one in told:
            counts = (one[f"n_{name}"] for name in ("wells", "fields", "channels", "z", "t", "images"))
            row(listed, one["name"], one["kind"], *counts, one["n_missing"] or "")
        out.print(listed)
    for fileset in plan.filesets:
        if not fileset.plates:
            say(f"{fileset.root or '.'}: {counted(len(fileset.files), 'file')}, stored byte for byte and not read")
    missing = [(plate, image) for plate in plan.plates for image in plate.missing]
    for plate, image in missing[:MAX_MISSING]:
        place = f"{image.well} field {image.field} c {image.c} z {image.z} t {image.t}"
        say("missing:", f"{_name(plate, order)} {place}", image.file)
    n_missing = sum(plate.n_missing for plate in plan.plates)
    if n_missing > MAX_MISSING:
        n_more = n_missing - len(missing[:MAX_MISSING])
        say(f"... and {n_more} more missing images (--json lists {named_of(len(missing), n_missing)})")
    for left in plan.left_out[:MAX_LEFT_OUT]:
        say("stays behind:", f"{left.path}: {left.reason}")
    if len(plan.left_out) > MAX_LEFT_OUT:
        reasons = Counter(left.reason for left in plan.left_out[MAX_LEFT_OUT:])
        say("stay behind:", "; ".join(f"{n} more, {reason}" for reason, n in reasons.items()))
    for why in preview.pending:
        say("would wait:", why)
    if preview.same_as:
        say(f"these files are those of {preview.same_as}: they would be refused without --force")
    say("nothing was imported")


def span_text(seconds: float) -> str:
    """A span of time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{max(rest, 1)} s"
