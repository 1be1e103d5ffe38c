"""Opera Phenix and Operetta: Harmony's index beside or above its TIFF files (pure).

Harmony 4 and 5 write ``Images/Index.idx.xml``, 6 and 7 ``Index.xml``; 7 may leave the index above the folders of its
images (github.com/ome/bioformats/pull/4314), or in a folder ``index`` beside ``images`` where it archives. What is the
same for all images of a channel stands in the images of 4 and 5, and in the Maps alone of 6 and 7. Apart from that
and from where time begins they do not differ, and the namespace is not looked at.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import DuplicatePlane, MetadataError
from ..model import Missing, Plate
from ..wells import well_label
from .folder import Folder, is_settled, is_tiff, join, split
from .metaseries import channel_names
from .plan import Fileset, Plan, planned_files, still_due
from .plane_table import PlaneTable
from .xml_stream import elements, finite, local, texts, whole

_INDEX = re.compile(r"index(\.(idx|flex|ref))?\.xml", re.IGNORECASE)
# The reference is the same plate again, for its flat field.
_PREFERRED = ("index.idx.xml", "index.xml", "index.flex.xml", "index.ref.xml")
_IMAGE = re.compile(r"r\d{2,}c\d{2,}f\d{2,}p\d{2,}-ch\d+(sk\d+)?(fk\d+)?(fl\d+)?\.tiff?", re.ASCII | re.IGNORECASE)
# What Harmony writes beside the folder Images and what therefore goes with it.
_BESIDE = ("assaylayout/", "ffc_profile/", "flatfieldcorrection/")


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
    n_listed: int


def plan_operetta(folder: Folder) -> Plan:
    """One fileset for each measurement that has an index.

    Raises:
        NotYetComplete: an index is not closed.
        MetadataError: an index is damaged.
        DuplicatePlane: two images are the same plane, or two files the same image.
    """
    filesets: list[Fileset] = []
    pending: list[str] = []
    held: list[str] = []
    for root, paths in _measurements(folder).items():
        found = ((path, index) for path in paths if (index := _parse(folder, path)) is not None)
        path, index = next(found, ("", None))
        if index is None:
            continue
        prefix = f"{root}/" if root else ""
        plate, files, due = _plate(folder, path, prefix, index)
        beside = (
            other
            for other in folder.files
            if other.startswith(prefix) and other[len(prefix) :].lower().startswith(_BESIDE)
        )
        filesets.append(
            Fileset(
                planner="operetta",
                root=root,
                files=planned_files(folder, [*paths, *files, *beside]),
                plates=(plate,),
            )
        )
        pending += due
        held.append(prefix)
    return Plan(filesets=tuple(filesets), pending=(*pending, *_without_index(folder, tuple(held))))


def _measurements(folder: Folder) -> dict[str, list[str]]:
    """The indexes of each measurement's folder, the one to read first."""
    found: dict[str, list[str]] = {}
    for path in folder.files:
        above, name = split(path)
        if _INDEX.fullmatch(name):
            root = posixpath.dirname(above) if posixpath.basename(above).lower() in ("images", "index") else above
            found.setdefault(root, []).append(path)
        elif name.lower().endswith(".xml") and posixpath.basename(above).lower() == "index":
            images = posixpath.join(posixpath.dirname(above), "images/").lower()
            if any(other.lower().startswith(images) for other in folder.files):
                found.setdefault(posixpath.dirname(above), []).append(path)
    return {root: sorted(paths, key=_preference) for root, paths in found.items()}


def _preference(path: str) -> tuple[int, int]:
    name = split(path)[1].lower()
    return (_PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED), -path.count("/"))


def _without_index(folder: Folder, indexed: tuple[str, ...]) -> Iterator[str]:
    """Why to wait for the folders whose images bear Harmony's names and that no index speaks of."""
    alone: dict[str, int] = {}
    for path in folder.files:
        above, name = split(path)
        if not path.startswith(indexed) and _IMAGE.fullmatch(name):
            alone[above] = alone.get(above, 0) + 1
    for above, n in alone.items():
        where = above or folder.name
        yield f"{where} holds {n} image{'s' if n > 1 else ''} of Harmony and neither Index.idx.xml nor Index.xml yet"


def _parse(folder: Folder, path: str) -> _Index | None:
    """The index, or None where the file is some other software's index."""
    plate: dict[str, str] = {}
    channels: dict[int, str] = {}
    size: float | None = None
    records: list[_Record] = []
    n_listed = 0
    harmony = False
    n_rows = n_columns = 0
    with folder.stream(path) as stream:
        for element in elements(stream, ("Plate", "Entry", "Image", "EvaluationInputData"), source=path):
            name = local(element.tag)
            values = texts(element)
            try:
                if name == "EvaluationInputData":
                    harmony = True
                elif name == "Plate":
                    plate = plate or values
                    n_rows, n_columns = (_side(plate.get(key, "")) for key in ("PlateRows", "PlateColumns"))
                elif name == "Entry" and values.get("ChannelName"):
                    channels.setdefault(int(element.get("ChannelID", "0")), values["ChannelName"])
                    size = size or _micrometres(values)
                elif name == "Image" and "URL" in values:
                    record = _record(values)
                    records.append(record)
                    if values.get("ChannelName") or record.channel not in channels:
                        channels[record.channel] = values.get("ChannelName", "")
                    size = size or _micrometres(values)
                elif name == "Image" and element.get("id"):
                    # The list of a well's images, which stands before their descriptions.
                    n_listed += 1
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
        n_rows,
        n_columns,
        size,
        channels,
        tuple(records),
        n_listed,
    )


def _side(text: str) -> int:
    return whole(text) if text.isdecimal() else 0


def _record(values: dict[str, str]) -> _Record:
    return _Record(
        values["URL"],
        well_label(whole(values["Row"]) - 1, whole(values["Col"]) - 1),
        whole(values["FieldID"]),
        whole(values.get("PlaneID") or "1"),
        whole(values.get("TimepointID") or "0"),
        whole(values["ChannelID"]),
    )


def _micrometres(values: dict[str, str]) -> float | None:
    text = values.get("ImageResolutionX")
    return finite(text) * 1e6 if text else None


def _plate(folder: Folder, path: str, root: str, index: _Index) -> tuple[Plate, tuple[str, ...], tuple[str, ...]]:
    """The plate, the files of its images, and why to wait for more."""
    file_of = _file_finder(folder, split(path)[0], root)
    table = PlaneTable(folder)
    numbers = sorted({record.channel for record in index.records})
    # Planes count from 1; time points from 0 in version 5 and from 1 in version 7.
    first_plane = min(record.plane for record in index.records)
    first_time = min(record.time_point for record in index.records)
    n_due = n_there = 0
    for record in index.records:
        n_due += bool(record.url)
        file = file_of(record.url) if record.url else None
        c, z = numbers.index(record.channel), record.plane - first_plane
        t = record.time_point - first_time
        n_there += is_settled(folder, file)
        if file is not None and file in folder.files:
            table.claim(record.well, file, field=record.field, c=c, z=z, t=t)
        else:
            table.miss(Missing(well=record.well, field=record.field, c=c, z=z, t=t, file=file or record.url))
    n_empty = len(index.records) - n_due
    plate = table.plate(
        name=index.name,
        n_rows=index.n_rows,
        n_columns=index.n_columns,
        channels=channel_names({number: index.channels.get(number, "") for number in numbers}),
        pixel_size_um=index.pixel_size_um,
        notes=[f"{n_empty} image{'s' if n_empty > 1 else ''} of {path} {'were' if n_empty > 1 else 'was'} not recorded"]
        if n_empty
        else [],
    )
    due = still_due(path, n_due, n_there)
    return plate, table.files, due or still_due(path, index.n_listed, len(index.records))


def _file_finder(folder: Folder, above: str, root: str) -> Callable[[str], str | None]:
    """What finds an image of an index in ``above``: where its URL leads, else by that path or name below ``root``."""
    below: dict[str, list[str]] = {}

    def find(url: str) -> str | None:
        straight = join(above, url)
        if straight in folder.files:
            return straight
        if not below:
            for path in folder.files:
                if path.startswith(root) and is_tiff(path):
                    below.setdefault(split(path)[1], []).append(path)
        url = url.replace("\\", "/")
        found = below.get(posixpath.basename(url), [])
        if len(found) > 1:
            found = [path for path in found if path.endswith(f"/{url}")] or found
        if len(found) > 1:
            raise DuplicatePlane(
                f"two files bear the name of one image of the index: {found[0]} and {found[1]}",
                hint="Move one of them away, or leave it out with --exclude.",
            )
        return found[0] if found else straight

    return find
