"""The enumerations that a fresh server holds, as far as clients look them up by value."""

from __future__ import annotations

from omero_server.graph import Graph, Row
from omero_server.permissions import PRIVILEGES

VALUES: dict[str, tuple[str, ...]] = {
    "PixelsType": (
        "int8", "int16", "int32", "uint8", "uint16", "uint32", "float", "double", "complex", "double-complex", "bit",
    ),
    "DimensionOrder": ("XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC"),
    "ChecksumAlgorithm": (
        "Adler-32", "CRC-32", "MD5-128", "Murmur3-32", "Murmur3-128", "SHA1-160", "File-Size-64",
    ),
    "EventType": ("Import", "Internal", "Shoola", "User", "Task", "Test", "Processing", "FullText", "Sessions"),
    "Format": (
        "OMETiff", "TIFF", "MetaXpress", "Companion/OME-TIFF", "Metamorph", "OMERO", "CellVoyager", "MetaxpressTiff",
        "Operetta", "CV7000",
    ),
    "JobStatus": (
        "Submitted", "Resubmitted", "Queued", "Requeued", "Running", "Error", "Waiting", "Finished", "Cancelled",
    ),
    "RenderingModel": ("rgb", "greyscale"),
    "Family": ("linear", "polynomial", "exponential", "logarithmic"),
    "PhotometricInterpretation": ("RGB", "ARGB", "CMYK", "HSV", "Monochrome", "ColorMap"),
    "AcquisitionMode": (
        "WideField", "LaserScanningConfocalMicroscopy", "SpinningDiskConfocal", "SlitScanConfocal",
        "MultiPhotonMicroscopy",
        "StructuredIllumination", "SingleMoleculeImaging", "TotalInternalReflection", "FluorescenceLifetime", "Other",
        "Unknown",
    ),
    "ContrastMethod": ("Brightfield", "Phase", "DIC", "Fluorescence", "Darkfield", "Other", "Unknown"),
    "Illumination": ("Transmitted", "Epifluorescence", "Oblique", "NonLinear", "Other", "Unknown"),
    "Immersion": ("Oil", "Water", "Air", "Multi", "Glycerol", "Other", "Unknown"),
    "Correction": ("UV", "PlanApo", "PlanFluor", "SuperFluor", "Achromat", "Apo", "Plan", "Other", "Unknown"),
    "Medium": ("Air", "Oil", "Water", "Glycerol", "Other", "Unknown"),
    "ExperimentType": ("FP", "FRET", "TimeLapse", "4-D+", "Screen", "Other", "Unknown"),
    "AdminPrivilege": tuple(sorted(PRIVILEGES)),
}  # fmt: skip
BITS = {
    "bit": 1, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "float": 32, "double": 64,
    "complex": 64, "double-complex": 128,
}  # fmt: skip


class NoSuchValue(LookupError):
    """The enumeration has no such value."""


def seed(graph: Graph) -> None:
    """Have every value there once."""
    with graph.changing():
        for of, values in VALUES.items():
            held = {row["value"] for row in graph.all(of)}
            for value in values:
                if value not in held:
                    row = graph.add(of, value=value)
                    if of == "PixelsType":
                        graph.put(row, "bitSize", BITS[value])


def enumeration(graph: Graph, of: str, value: str) -> Row:
    """The value's row.

    Raises:
        NoSuchValue: the enumeration does not have it.
    """
    row = graph.one(of, value=value)
    if row is None:
        raise NoSuchValue(f"{of} has no {value!r}")
    return row
