"""What machines read: each answer of the mesh under the keys that scripts rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..messages.compute import JobStatus, JobSummary, WellStatus
from ..messages.control import ActorRow, MeshStatus
from ..messages.imports import ImportStatus
from ..plates.labels import UNLABELLED, Labels
from ..plates.model import Image, Plate, PlateSummary
from ..plates.virtual_paths import path_of

IMAGE_KEY = "image"
"""What stands for the well where an image lies on no plate."""


def mesh_form(status: MeshStatus) -> dict[str, Any]:
    """What a mesh is."""
    return {"up": True, **msgspec.to_builtins(status)}


def row_form(row: ActorRow) -> dict[str, Any]:
    """One line of the supervision tree."""
    return {**msgspec.to_builtins(row), "parent": row.parent or None}


def import_form(status: ImportStatus) -> dict[str, Any]:
    """One import with the history of its phases."""
    told: dict[str, Any] = msgspec.to_builtins(status)
    told["import"] = told.pop("import_id")
    told["plates"] = told.pop("plate_ids")
    told["source"] = status.source
    told |= {name: value for name, value in told.pop("order").items() if name not in ("path", "agent")}
    for entry in told["history"]:
        entry["at"] = entry.pop("at_unix_s")
    return told


def summary_form(summary: PlateSummary) -> dict[str, Any]:
    """One line of the list of plates."""
    told: dict[str, Any] = msgspec.to_builtins(summary)
    labels = told.pop("labels")
    return {**told, **labels}


def plate_form(plate: Plate, labels: Labels = UNLABELLED) -> dict[str, Any]:
    """The structure of one plate; an image that lies on no plate has its fields at the top."""
    images = list(plate.images())
    with_t = len({image.t for image in images}) > 1
    wells: dict[str, dict[int, list[Image]]] = {}
    for image in images:
        wells.setdefault(image.well, {}).setdefault(image.field, []).append(image)
    told: dict[str, Any] = {
        "id": plate.id,
        "name": plate.name,
        "kind": plate.kind,
        "n_rows": plate.n_rows,
        "n_columns": plate.n_columns,
        "channels": list(plate.channels),
        "pixel_size_um": plate.pixel_size_um,
        "root": plate.root,
        "wells": {
            well: {"fields": _fields_form(plate, fields, with_t=with_t)} for well, fields in wells.items() if well
        },
        "n_missing": plate.n_missing,
        "missing": [msgspec.to_builtins(one) for one in plate.missing],
        "notes": list(plate.notes),
        "metadata": dict(plate.metadata),
        **msgspec.to_builtins(labels),
    }
    if "" in wells:
        told["fields"] = _fields_form(plate, wells[""], with_t=with_t)
    return told


def _fields_form(plate: Plate, fields: dict[int, list[Image]], *, with_t: bool) -> list[dict[str, Any]]:
    return [
        {
            "field": field,
            "channels": [channel_name(plate, c) for c in sorted({image.c for image in images})],
            "images": [
                {
                    "c": image.c,
                    "z": image.z,
                    "t": image.t,
                    "kind": image.kind,
                    "path": f"{plate.root}/{image.file}",
                    "page": image.page,
                    "channel": channel_name(plate, image.c),
                    "virtual_path": virtual_path(plate, image, with_t=with_t),
                }
                for image in images
            ],
        }
        for field, images in sorted(fields.items())
    ]


def channel_name(plate: Plate, c: int) -> str:
    """A channel's name, its number where the vendor gave none."""
    return plate.channels[c] if c < len(plate.channels) else f"channel {c}"


def virtual_path(plate: Plate, image: Image, *, with_t: bool) -> str:
    """The virtual path of an image, on a plate or not."""
    if image.well:
        return str(path_of(plate.id, image, with_t=with_t))
    z = "proj" if image.kind == "projection" else f"{image.z:03d}"
    t = f"_t{image.t:03d}" if with_t else ""
    return f"image_{plate.id}/s{image.field:03d}_z{z}_c{image.c:03d}{t}.tif"


def job_form(job: JobStatus) -> dict[str, Any]:
    """One job with its wells."""
    told: dict[str, Any] = msgspec.to_builtins(job)
    told["plate"] = told.pop("plate_id")
    told["wells"] = {one.well or IMAGE_KEY: _well_form(one) for one in job.wells}
    return told


def job_line_form(line: JobSummary) -> dict[str, Any]:
    """One line of the list of jobs, its wells counted."""
    told: dict[str, Any] = msgspec.to_builtins(line)
    told["plate"] = told.pop("plate_id")
    return told


def _well_form(one: WellStatus) -> dict[str, Any]:
    return {
        "state": one.state,
        "n_objects": one.n_objects,
        "measurements": dict(one.measurements),
        "attempts": one.attempts,
        "executor": one.executor,
        "duration_s": one.duration_s,
        "files": [str(Path(one.folder) / file) for file in one.files] if one.folder else list(one.files),
        "error": one.error,
        "notes": list(one.notes),
    }
