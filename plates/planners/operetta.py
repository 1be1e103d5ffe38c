"""Opera Phenix and Operetta: Harmony's Index.idx.xml (or Index.xml) beside its TIFF files (pure).

Versions 5 and 7 were seen; 7 keeps what is the same for all images of a channel in its Maps.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import MetadataError
from ..model import Missing, Plate
from ..wells import well_label
from .folder import Folder, join, split
from .metaseries import channel_names
from .plan import Fileset, Plan, planned_files
from .plane_table import PlaneTable
from .xml_stream import elements, local, texts

_INDEX = re.compile(r"index(\.(idx|flex|ref))?\.xml", re.IGNORECASE)
# What Harmony writes beside the folder Images and what therefore goes with it.
_BESIDE = ("assaylayout/", "ffc_profile/")


class _Record(NamedTuple):
    url: str
    well: str
    field: int
    plane: int
    time_point: int
    channel: int


class _Index(NamedTuple):
    name: str
    n_rows: int
    n_columns: int
    pixel_size_um: float | None
    channels: dict[int, str]
    records: tuple[_Record, ...]


def plan_operetta(folder: Folder) -> Plan:
    """One fileset for each index file.

    Raises:
        MetadataError: an index is damaged.
        DuplicatePlane: two images are the same plane.
    """
    filesets: list[Fileset] = []
    for path in folder.files:
        above, name = split(path)
        if not _INDEX.fullmatch(name):
            continue
        index = _parse(folder, path)
        if index is None:
            continue
        root = posixpath.dirname(above) if posixpath.basename(above).lower() == "images" else above
        plate, files = _plate(folder, path, index)
        prefix = f"{root}/" if root else ""
        beside = (
            other
            for other in folder.files
            if other.startswith(prefix) and other[len(prefix) :].lower().startswith(_BESIDE)
        )
        filesets.append(
            Fileset(
                planner="operetta",
                root=root,
                files=planned_files(folder, [path, *files, *beside]),
                plates=(plate,),
            )
        )
    return Plan(filesets=tuple(filesets))


def _parse(folder: Folder, path: str) -> _Index | None:
    """The index, or None where the file is some other software's index."""
    plate: dict[str, str] = {}
    channels: dict[int, str] = {}
    size: float | None = None
    records: list[_Record] = []
    harmony = False
    with folder.stream(path) as stream:
        for element in elements(stream, ("Plate", "Entry", "Image", "EvaluationInputData"), source=path):
            name = local(element.tag)
            values = texts(element)
            try:
                if name == "EvaluationInputData":
                    harmony = True
                elif name == "Plate":
                    plate = plate or values
                elif name == "Entry" and values.get("ChannelName"):
                    channels.setdefault(int(element.get("ChannelID", "0")), values["ChannelName"])
                    size = size or _micrometres(values)
                elif name == "Image" and "URL" in values:
                    record = _record(values)
                    records.append(record)
                    if values.get("ChannelName") or record.channel not in channels:
                        channels[record.channel] = values.get("ChannelName", "")
                    size = size or _micrometres(values)
            except (KeyError, ValueError) as error:
                raise MetadataError(
                    f"{path}: {name} {values.get('id', '')} has no usable {error}", hint="Export the plate again."
                ) from error
    if not harmony:
        return None
    if not records:
        raise MetadataError(f"{path} lists no image", hint="Export the plate again with its images.")
    return _Index(
        plate.get("Name") or plate.get("PlateID") or posixpath.basename(split(path)[0]) or folder.name,
        int(plate["PlateRows"]) if plate.get("PlateRows", "").isdecimal() else 0,
        int(plate["PlateColumns"]) if plate.get("PlateColumns", "").isdecimal() else 0,
        size,
        channels,
        tuple(records),
    )


def _record(values: dict[str, str]) -> _Record:
    return _Record(
        values["URL"],
        well_label(int(values["Row"]) - 1, int(values["Col"]) - 1),
        int(values["FieldID"]),
        int(values.get("PlaneID") or 1),
        int(values.get("TimepointID") or 0),
        int(values["ChannelID"]),
    )


def _micrometres(values: dict[str, str]) -> float | None:
    text = values.get("ImageResolutionX")
    return float(text) * 1e6 if text else None


def _plate(folder: Folder, path: str, index: _Index) -> tuple[Plate, Iterable[str]]:
    above = split(path)[0]
    table = PlaneTable(folder)
    numbers = sorted({record.channel for record in index.records})
    # Planes count from 1; time points from 0 in version 5 and from 1 in version 7.
    first_plane = min(record.plane for record in index.records)
    first_time = min(record.time_point for record in index.records)
    for record in index.records:
        file = join(above, record.url) if record.url else None
        c, z = numbers.index(record.channel), record.plane - first_plane
        t = record.time_point - first_time
        if file is not None and file in folder.files:
            table.claim(record.well, file, field=record.field, c=c, z=z, t=t)
        else:
            table.miss(Missing(well=record.well, field=record.field, c=c, z=z, t=t, file=file or record.url))
    plate = table.plate(
        name=index.name,
        n_rows=index.n_rows,
        n_columns=index.n_columns,
        channels=channel_names({number: index.channels.get(number, "") for number in numbers}),
        pixel_size_um=index.pixel_size_um,
    )
    return plate, table.files
