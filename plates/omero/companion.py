"""OME companion files: what plates plain TIFF files are, in OMERO's own words, where nothing else tells it (pure).

The file is a companion of OME-TIFF (OME model 2016-06; docs.openmicroscopy.org/ome-model, "Companion files"). From one,
Bio-Formats, and so OMERO, reads plates whose planes lie in TIFF files that say nothing of OME themselves.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from ..errors import PlatePathError
from ..import_outline import ImportOutline, OutlinedFileset
from ..model import Image, Plate, build_plate
from ..planners.folder import is_tiff
from ..wells import well_position
from .structure import DTYPES

OMEROS_OWN = frozenset({"ome-zarr", "operetta", "cellvoyager", "metaxpress", "ome-tiff", "bio-formats"})
"""The planners of layouts that Bio-Formats reads itself: OMERO makes their plates, but of filesets that mislead."""

SUFFIX = ".companion.ome"
SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"

_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_NAME = 100
_N_TOLD = 20


class Companion(NamedTuple):
    """A file that the mesh adds to a fileset; ``plates`` are those that it tells of, as it tells of them."""

    path: str
    data: bytes
    plates: tuple[Plate, ...]


def with_companions(outline: ImportOutline, key: str) -> tuple[ImportOutline, dict[int, Companion]]:
    """An import as it is announced to OMERO, and what is added to its filesets, by their numbers.

    ``key`` tells the import from every other; the same import has the same bytes each time.
    """
    taken = {path for fileset in outline.filesets for path in fileset.files}
    added: dict[int, Companion] = {}
    for number, fileset in enumerate(outline.filesets):
        companion = companion_of(fileset, f"{key}/{number}", taken)
        if companion is not None:
            added[number] = companion
            taken.add(companion.path)
    filesets = tuple(
        msgspec.structs.replace(one, files=(*one.files, added[number].path)) if number in added else one
        for number, one in enumerate(outline.filesets)
    )
    return msgspec.structs.replace(outline, filesets=filesets) if added else outline, added


def companion_of(fileset: OutlinedFileset, key: str, taken: Collection[str]) -> Companion | None:
    """What tells OMERO which plates a fileset is; None where its own reader knows, or nothing could tell it.

    No name that is ``taken`` in the import is taken again.
    """
    if not fileset.planner or (fileset.planner in OMEROS_OWN and not fileset.misleads):
        return None
    if not all(map(_can_be_told, fileset.plates)):
        return None
    plates = tuple(told for one in fileset.plates if (told := _whole(one)).n_images)
    if not plates:
        return None
    path = _free_name(plates[0].name, taken, dashed=any(file.lower().endswith(".htd") for file in fileset.files))
    return Companion(path, _written(plates, uuid5(NAMESPACE_URL, f"hcs-mesh:{key}")), plates)


def _can_be_told(plate: Plate) -> bool:
    """Whether every plane is a directory of a TIFF file, which is all that a companion can name."""
    return (
        plate.kind == "plate"
        and plate.pages_are_directories
        and all(map(is_tiff, plate.files))
        and all(map(_is_well, plate.wells))
    )


def _is_well(label: str) -> bool:
    try:
        well_position(label)
    except PlatePathError:
        # Planes that lie in no well.
        return False
    return True


def _whole(plate: Plate) -> Plate:
    """The part of a plate that has no holes: Bio-Formats reads no image that lacks a plane.

    Of each field it is the largest block of channels, z and t from the first plane on. What lies beyond is told in a
    note, and so is a field that has not even the first plane.
    """
    kept: list[Image] = []
    beyond: list[str] = []
    for (well, field), images in _by_field(plate):
        planes = _alike(images)
        n_c, n_z, n_t = _block(planes)
        inside = [image for at, image in planes.items() if at[0] < n_c and at[1] < n_z and at[2] < n_t]
        kept += inside
        if len(inside) < len(images):
            beyond.append(f"{well} field {field}: {len(images) - len(inside)} of {len(images)} planes")
    more = (f"and {len(beyond) - _N_TOLD} fields more",) if len(beyond) > _N_TOLD else ()
    whole = build_plate(
        kept,
        id=plate.id,
        name=plate.name,
        n_rows=plate.n_rows or 1 + max((well_position(well)[0] for well in plate.wells), default=0),
        n_columns=plate.n_columns or 1 + max((well_position(well)[1] for well in plate.wells), default=0),
        channels=plate.channels,
        pixel_size_um=plate.pixel_size_um,
        root=plate.root,
        missing=plate.missing,
        notes=(*beyond[:_N_TOLD], *more),
    )
    return msgspec.structs.replace(whole, more_missing=plate.more_missing)


def _by_field(plate: Plate) -> Iterator[tuple[tuple[str, int], list[Image]]]:
    fields: dict[tuple[str, int], list[Image]] = {}
    for image in plate.images():
        fields.setdefault((image.well, image.field), []).append(image)
    yield from fields.items()


def _alike(images: Iterable[Image]) -> dict[tuple[int, int, int], Image]:
    """The acquired planes by c, z and t that have the first one's size and type, as all of one image have."""
    planes = {(image.c, image.z, image.t): image for image in images if image.kind == "plane"}
    first = planes.get((0, 0, 0))
    if first is None or first.dtype not in _TYPES:
        return {}
    return {at: image for at, image in planes.items() if _shape(image) == _shape(first)}


def _shape(image: Image) -> tuple[int, int, str]:
    return image.height, image.width, image.dtype


def _block(planes: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    """How many channels, z and t the largest block has that begins at (0, 0, 0) and lacks nothing."""
    there = set(planes)
    if not there:
        return 0, 0, 0
    sizes = [1 + max(at[axis] for at in there) for axis in range(3)]
    if len(there) == sizes[0] * sizes[1] * sizes[2]:
        return sizes[0], sizes[1], sizes[2]
    # How far t goes on without a gap, at each c and z; and so for every block that ends there.
    best, n_planes = (0, 0, 0), 0
    reach: dict[tuple[int, int], int] = {}
    for c, z in product(range(sizes[0]), range(sizes[1])):
        own = next((t for t in range(sizes[2]) if (c, z, t) not in there), sizes[2])
        reach[c, z] = min(own, reach.get((c - 1, z), own), reach.get((c, z - 1), own))
        if (n := (c + 1) * (z + 1) * reach[c, z]) >= n_planes:
            best, n_planes = (c + 1, z + 1, reach[c, z]), n
    return best


def _free_name(plate: str, paths: Collection[str], *, dashed: bool) -> str:
    """A name for the companion that no file has, ``dashed`` where no underscore may be in it."""
    taken = {path.lower() for path in paths}
    stem = _NOT_IN_NAMES.sub("_", plate)[:_LONGEST_NAME].strip("._") or "plate"
    if dashed:
        # Bio-Formats (tried: 7.3.1) takes 9987_any.companion.ome for an image of the plate that 9987.HTD tells of.
        stem = stem.replace("_", "-")
    name, n = f"{stem}{SUFFIX}", 1
    while name.lower() in taken:
        n += 1
        name = f"{stem}-{n}{SUFFIX}"
    return name


def _written(plates: Sequence[Plate], own: UUID) -> bytes:
    root = ET.Element("OME", {"xmlns": SCHEMA, "UUID": own.urn, "Creator": "hcs-mesh"})
    # The schema wants plates before images.
    images: list[ET.Element] = []
    n_samples = 0
    for number, plate in enumerate(plates):
        said = ET.SubElement(
            root,
            "Plate",
            {
                "ID": f"Plate:{number}",
                "Name": _text(plate.name),
                "Rows": str(plate.n_rows),
                "Columns": str(plate.n_columns),
                "RowNamingConvention": "letter",
                "ColumnNamingConvention": "number",
            },
        )
        if plate.notes:
            ET.SubElement(said, "Description").text = _text(f"Stored, and not shown: {'; '.join(plate.notes)}.")
        wells: dict[str, ET.Element] = {}
        for (label, field), planes in _by_field(plate):
            if label not in wells:
                row, column = well_position(label)
                place = {"ID": f"Well:{number}:{len(wells)}", "Row": str(row), "Column": str(column)}
                wells[label] = ET.SubElement(said, "Well", place)
            sample = {"ID": f"WellSample:{number}:{n_samples}", "Index": str(n_samples)}
            reference = ET.SubElement(wells[label], "WellSample", sample)
            ET.SubElement(reference, "ImageRef", {"ID": f"Image:{len(images)}"})
            images.append(_image(len(images), f"{label} field {field}", plate, planes, own))
            n_samples += 1
    root.extend(images)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _image(number: int, name: str, plate: Plate, planes: Sequence[Image], own: UUID) -> ET.Element:
    first = planes[0]
    n_c, n_z, n_t = (1 + max(at) for at in zip(*((one.c, one.z, one.t) for one in planes), strict=True))
    image = ET.Element("Image", {"ID": f"Image:{number}", "Name": name})
    said = {
        "ID": f"Pixels:{number}",
        "DimensionOrder": "XYCZT",
        "Type": _TYPES[first.dtype],
        "SizeX": str(first.width),
        "SizeY": str(first.height),
        "SizeC": str(n_c),
        "SizeZ": str(n_z),
        "SizeT": str(n_t),
    }
    if plate.pixel_size_um is not None:
        for axis in "XY":
            said |= {f"PhysicalSize{axis}": repr(plate.pixel_size_um), f"PhysicalSize{axis}Unit": "µm"}
    pixels = ET.SubElement(image, "Pixels", said)
    for c in range(n_c):
        channel = {"ID": f"Channel:{number}:{c}", "SamplesPerPixel": "1"}
        if c < len(plate.channels) and plate.channels[c]:
            channel["Name"] = _text(plate.channels[c])
        ET.SubElement(pixels, "Channel", channel)
    for one in sorted(planes, key=lambda plane: (plane.t, plane.z, plane.c)):
        at = {"FirstC": str(one.c), "FirstZ": str(one.z), "FirstT": str(one.t), "IFD": str(one.page), "PlaneCount": "1"}
        data = ET.SubElement(pixels, "TiffData", at)
        ET.SubElement(data, "UUID", {"FileName": one.file}).text = uuid5(own, one.file).urn
    return image


def _text(said: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", said)
