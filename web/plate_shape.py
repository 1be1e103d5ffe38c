"""The structure of a plate as people and programs outside read it: wells, their fields, their images."""

from __future__ import annotations

from typing import Any

from ..plates.model import Plate


def plate_shape(plate: Plate) -> dict[str, Any]:
    """Turn columns into the nesting that ``plate ID --json`` prints."""
    wells: dict[str, dict[int, dict[str, Any]]] = {well: {} for well in plate.wells}
    for image in plate.images():
        field = wells[image.well].setdefault(
            image.field, {"field": image.field, "channels": list(plate.channels), "images": []}
        )
        field["images"].append(
            {"c": image.c, "z": image.z, "t": image.t, "kind": image.kind, "path": image.file, "page": image.page}
        )
    return {
        "id": plate.id,
        "name": plate.name,
        "kind": plate.kind,
        "wells": {well: {"fields": [fields[key] for key in sorted(fields)]} for well, fields in wells.items()},
        "n_missing": plate.n_missing,
        "missing": plate.missing,
        "notes": plate.notes,
    }
