"""The domain: plates, what lies on a microscope's disk, and where it is kept.

A name is loaded when it is first used: what only lists plates does not pay for what reads their images.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        DuplicatePlane,
        MetadataError,
        NothingToImport,
        PatternError,
        PlanError,
        PlatePathError,
        SourceNotFound,
        SourceUnreadable,
        UnreadableImage,
    )
    from .model import IMAGE_KINDS, Image, ImageKind, Missing, Plate, PlateKind, PlateSummary, build_plate
    from .pixels import read_image, read_plane
    from .planners.plan import Fileset, LeftOut, Plan, PlannedFile
    from .planning import plan
    from .virtual_paths import VirtualPath, format_path, parse_path, path_of
    from .wells import normalise_well, well_label, well_position

_ROOMS = {
    "DuplicatePlane": ".errors",
    "Fileset": ".planners.plan",
    "IMAGE_KINDS": ".model",
    "Image": ".model",
    "ImageKind": ".model",
    "LeftOut": ".planners.plan",
    "MetadataError": ".errors",
    "Missing": ".model",
    "NothingToImport": ".errors",
    "PatternError": ".errors",
    "Plan": ".planners.plan",
    "PlanError": ".errors",
    "PlannedFile": ".planners.plan",
    "Plate": ".model",
    "PlateKind": ".model",
    "PlatePathError": ".errors",
    "PlateSummary": ".model",
    "SourceNotFound": ".errors",
    "SourceUnreadable": ".errors",
    "UnreadableImage": ".errors",
    "VirtualPath": ".virtual_paths",
    "build_plate": ".model",
    "format_path": ".virtual_paths",
    "normalise_well": ".wells",
    "parse_path": ".virtual_paths",
    "path_of": ".virtual_paths",
    "plan": ".planning",
    "read_image": ".pixels",
    "read_plane": ".pixels",
    "well_label": ".wells",
    "well_position": ".wells",
}

__all__ = [
    "IMAGE_KINDS",
    "DuplicatePlane",
    "Fileset",
    "Image",
    "ImageKind",
    "LeftOut",
    "MetadataError",
    "Missing",
    "NothingToImport",
    "PatternError",
    "Plan",
    "PlanError",
    "PlannedFile",
    "Plate",
    "PlateKind",
    "PlatePathError",
    "PlateSummary",
    "SourceNotFound",
    "SourceUnreadable",
    "UnreadableImage",
    "VirtualPath",
    "build_plate",
    "format_path",
    "normalise_well",
    "parse_path",
    "path_of",
    "plan",
    "read_image",
    "read_plane",
    "well_label",
    "well_position",
]


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(room, __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
