"""One TIFF file without a plate around it, with whatever axes tifffile finds in it (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from .folder import Folder, TiffHead, TiffSeries, stem
from .metaseries import read_metaseries
from .plan import Fileset, Plan, planned_files
from .plane_table import PlaneTable


def plan_plain_tiff(folder: Folder) -> Plan:
    """Every file of the folder as a plate-less image of its own.

    Raises:
        UnreadableImage: a file is not a TIFF, or a damaged one.
    """
    return Plan(filesets=tuple(_fileset(folder, path) for path in folder.files))


def image_axes(axes: str) -> tuple[str, ...]:
    """What each axis before or after (Y, X) means to a plate: c, z or t; unnamed ones fill z, then t, then c."""
    named = {"C": "c", "S": "c", "Z": "z", "T": "t"}
    others = [axis for axis in axes if axis not in "YX"]
    taken = {named[axis] for axis in others if axis in named}
    free = [axis for axis in "ztc" if axis not in taken]
    # A second samples axis multiplies the channels; so does whatever is left when c, z and t are taken.
    return tuple(named[axis] if axis in named else free.pop(0) if free else "c" for axis in others)


def claim_series(table: PlaneTable, path: str, series: TiffSeries) -> int:
    """Claim every plane of a series for its file; how many channels it has."""
    sizes = [size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YX"]
    meanings = image_axes(series.axes)
    height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
    head = TiffHead(width=width, height=height, dtype=series.dtype)
    for plane, position in zip(series.planes, product(*(range(size) for size in sizes)), strict=True):
        place = {"c": 0, "z": 0, "t": 0}
        for meaning, index, size in zip(meanings, position, sizes, strict=True):
            place[meaning] = place[meaning] * size + index
        table.claim("", path, c=place["c"], z=place["z"], t=place["t"], page=plane, head=head)
    return _count(meanings, sizes, "c")


def _count(meanings: Sequence[str], sizes: Sequence[int], wanted: str) -> int:
    return math.prod(size for meaning, size in zip(meanings, sizes, strict=True) if meaning == wanted)


def _fileset(folder: Folder, path: str) -> Fileset:
    head = folder.tiff(path)
    described = read_metaseries(head.description)
    all_series = folder.series(path)
    table = PlaneTable(folder)
    n_channels = claim_series(table, path, all_series[0])
    notes = []
    if len(all_series) > 1:
        notes.append(f"the file holds {len(all_series)} series of images; the first is used")
    unnamed = [axis for axis in all_series[0].axes if axis not in "CSZTYX"]
    if unnamed:
        notes.append(f"axes {all_series[0].axes}: what {', '.join(unnamed)} means is not written; taken as z, t, c")
    if head.ome_xml:
        notes.append("its OME-XML is not used: the pages are taken as they follow each other in the file")
    plate = table.plate(
        name=stem(path),
        kind="image",
        channels=[described.channel] if n_channels == 1 else [f"c{c}" for c in range(n_channels)],
        pixel_size_um=described.pixel_size_um,
        notes=notes,
    )
    return Fileset(planner="tiff", root="", files=planned_files(folder, [path]), plates=(plate,))
