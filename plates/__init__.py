"""The domain: plates, what lies on a microscope's disk, and where it is kept."""

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
