"""The images of an OME-Zarr while it is planned: level 0 of each, and which of its planes are there (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from ..errors import MetadataError
from ..model import Image, Missing, Plate, PlateKind, build_plate
from .folder import split
from .plan import still_due
from .zarr_hierarchy import Hierarchy, at
from .zarr_metadata import MAX_PLANES, Json, Multiscale, ZarrArray, parse_multiscales


class ZarrField(NamedTuple):
    """One image: how it is stored, and how many chunks are there at each place on its axes other than y and x."""

    scale: Multiscale
    array: ZarrArray
    file: str
    channels: tuple[str, ...]
    chunks: Counter[tuple[int, ...]]
    notes: tuple[str, ...]


class FieldTable:
    """Collects the planes of one plate; what is wrong with many fields becomes one note."""

    def __init__(self) -> None:
        self._images: list[Image] = []
        self._missing: list[Missing] = []
        self._widest: ZarrField | None = None
        self._notes: dict[str, list[str]] = {}
        self._n_absent = 0

    def pending(self, source: str) -> tuple[str, ...]:
        """Why the acquisition may still go on: what is declared and not there."""
        return still_due(source, len(self._images) + self._n_absent, len(self._images), what="plane")

    def note(self, kind: str, example: str) -> None:
        """Note something of a field; of all notes of one kind the first is told with their number."""
        self._notes.setdefault(kind, []).append(example)

    def miss(self, well: str, number: int, group: str, why: MetadataError) -> None:
        """Note a field of which nothing can be known."""
        self._missing.append(Missing(well=well, field=number, c=0, z=0, t=0, file=at(group, ".zattrs")))
        self._n_absent += 1
        self.note("cannot be read", str(why))

    def claim(self, field: ZarrField, well: str = "", number: int = 1) -> None:
        """Add a field's planes to those that are there, or to the missing ones."""
        scale, array = field.scale, field.array
        if self._widest is None or len(field.channels) > len(self._widest.channels):
            self._widest = field
        sizes = scale.sizes(array.shape)
        chunk = scale.sizes(array.chunks)
        n_due = math.ceil(sizes["y"] / chunk["y"]) * math.ceil(sizes["x"] / chunk["x"])
        others = [axis for axis in scale.axes if axis not in "yx"]
        folder = split(field.file)[0]
        for note in field.notes:
            self.note("", note)
        for t, c, z in product(range(sizes["t"]), range(sizes["c"]), range(sizes["z"])):
            place = {"t": t, "c": c, "z": z}
            n_there = field.chunks[tuple(place[axis] // chunk[axis] for axis in others)]
            if array.refusal or not n_there or (n_there < n_due and not array.fill_declared):
                self._missing.append(Missing(well=well, field=number, c=c, z=z, t=t, file=field.file))
                self._n_absent += not array.refusal
                self.note("planes cannot be read", array.refusal or f"{folder} lacks its chunks")
                continue
            if n_there < n_due:
                self.note("planes hold the fill value where they have no chunk", f"of {folder}")
            page = scale.page(array.shape, t, c, z)
            self._images.append(
                Image(well, number, c, z, t, "plane", field.file, page, sizes["y"], sizes["x"], array.dtype)
            )

    def plate(self, *, name: str, kind: PlateKind, n_rows: int = 0, n_columns: int = 0) -> Plate:
        """Build the plate of all that was claimed."""
        widest = self._widest
        return build_plate(
            self._images,
            id=0,
            name=name,
            kind=kind,
            n_rows=n_rows,
            n_columns=n_columns,
            channels=widest.channels if widest is not None else (),
            pixel_size_um=widest.scale.pixel_size_um if widest is not None else None,
            missing=tuple(self._missing),
            notes=tuple(_told(kind, examples) for kind, examples in self._notes.items()),
        )


def read_field(zarr: Hierarchy, group: str) -> ZarrField:
    """The image that a group is.

    Raises:
        MetadataError: it is none, or one whose levels are not there or do not fit its axes.
    """
    ome = zarr.ome(group)
    source = group or zarr.name
    if "multiscales" not in ome:
        raise MetadataError(f"{source} holds no multiscales", hint="Has the copy finished?")
    scales = parse_multiscales(ome, source=source)
    notes = [f"{source} holds {len(scales)} multiscales, and the first is used"] if len(scales) > 1 else []
    scale = scales[0]
    file, array = zarr.array(group, scale.paths[0])
    paths = scale.paths if zarr.every_level else scale.paths[:1]
    levels = [array, *(zarr.array(group, path)[1] for path in paths[1:])]
    for path, level in zip(paths, levels, strict=True):
        if len(level.shape) != len(scale.axes):
            raise MetadataError(
                f"{source}: the array {path} has {len(level.shape)} dimensions and the image {len(scale.axes)} axes"
            )
    if len({level.dtype for level in levels}) > 1:
        kinds = ", ".join(level.dtype for level in levels)
        notes.append(f"{source} has levels of different types ({kinds}), and level 0 is the image")
    sizes = scale.sizes(array.shape)
    n_planes = sizes["t"] * sizes["c"] * sizes["z"]
    if n_planes > MAX_PLANES:
        raise MetadataError(f"{source} claims {n_planes} planes, and at most {MAX_PLANES} are read")
    labels = _channel_labels(ome)
    others = [index for index, axis in enumerate(scale.axes) if axis not in "yx"]
    channels = tuple(labels[c] if c < len(labels) and labels[c] else f"c{c}" for c in range(sizes["c"]))
    return ZarrField(scale, array, file, channels, zarr.chunks(file, array, others), tuple(notes))


def _channel_labels(ome: Json) -> tuple[str, ...]:
    """The channels' labels in the transitional 'omero' metadata, empty where one has none."""
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return ()
    labels = (one.get("label") if isinstance(one, dict) else None for one in channels)
    return tuple(label if isinstance(label, str) else "" for label in labels)


def _told(kind: str, examples: Sequence[str]) -> str:
    if not kind:
        return examples[0] if len(examples) == 1 else f"{examples[0]}; {len(examples) - 1} more fields say the like"
    return f"{len(examples)} {kind}; the first: {examples[0]}"
