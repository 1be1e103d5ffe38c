"""One plane of an OME-Zarr array, read through the zarr library."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import MetadataError, UnreadableImage
from .planners.zarr_metadata import (
    ARRAY_FILES,
    Json,
    Multiscale,
    ZarrArray,
    ome_attributes,
    parse_array,
    parse_json,
    parse_multiscales,
)
from .stored_image import is_linked, open_stored
from .tiff_failures import COPY_AGAIN, told_as_unreadable

_MAX_LEVELS_UP = 4
"""How deep below its image an array may lie: "0" and "scale0/image" were seen."""
_MAX_METADATA_BYTES = 64 << 20


def is_zarr_array(file: str) -> bool:
    """Whether a plate's file is the metadata of a Zarr array."""
    return file.rpartition("/")[2] in ARRAY_FILES


def read_zarr_plane(root: Path, file: str, page: int, *, max_bytes: int, follow_links: bool = False) -> NDArray[Any]:
    """The plane (Y, X) of this number, counted over t, c and z, of the array whose metadata file this is.

    Raises:
        NoLongerAsImported: one of its files was imported in place, and is another one by now, or has changed.
        UnreadableImage: the plane's chunks are not there, are damaged, or need more than ``max_bytes``.
    """
    with told_as_unreadable(file):
        try:
            array = parse_array(_json(root, file, follow_links=follow_links), source=file)
            if array.refusal:
                raise UnreadableImage(f"{file} cannot be read: {array.refusal}")
            scale = _scale(root, file, follow_links=follow_links)
        except MetadataError as error:
            raise UnreadableImage(str(error), hint=error.hint) from error
        try:
            place = scale.place(array.shape, page)
        except IndexError as error:
            raise UnreadableImage(f"{file} cannot be read as an image: {error}", hint=COPY_AGAIN) from error
        _check_size(scale, array, file, max_bytes)
        linked = not follow_links and is_linked(root, file)
        _check_chunks((root / file).parent, scale, array, place, file, page, linked=linked)
        return _selected(root, file, scale, array, place, linked=linked)


def _selected(
    root: Path, file: str, scale: Multiscale, array: ZarrArray, place: dict[str, int], *, linked: bool
) -> NDArray[Any]:
    # Loaded by what reads a Zarr and by nothing else: it takes a third of a second.
    import zarr

    from .linked_zarr import LinkedZarr

    store = LinkedZarr(root, file.rpartition("/")[0]) if linked else str((root / file).parent)
    opened = zarr.open_array(store=store, mode="r", zarr_format=array.zarr_format)  # type: ignore[arg-type]
    selection = tuple(slice(None) if axis in "yx" else place[axis] for axis in scale.axes)
    plane = np.asarray(opened[selection])
    return plane if scale.axes.index("y") < scale.axes.index("x") else plane.T


def _scale(root: Path, file: str, *, follow_links: bool) -> Multiscale:
    """The image that an array is level 0 of: it alone says what the array's axes are."""
    array = file.rpartition("/")[0]
    group = array
    for _ in range(_MAX_LEVELS_UP):
        group = group.rpartition("/")[0]
        below = array[len(group) :].strip("/")
        for name in ("zarr.json", ".zattrs"):
            source = f"{group}/{name}" if group else name
            if not (root / source).is_file():
                continue
            ome = ome_attributes(_json(root, source, follow_links=follow_links), source=source)
            if "multiscales" in ome:
                scale = parse_multiscales(ome, source=source)[0]
                if scale.paths[0] == below:
                    return scale
        if not group:
            break
    raise UnreadableImage(f"{file} is level 0 of no OME-Zarr image", hint=COPY_AGAIN)


def _json(root: Path, source: str, *, follow_links: bool) -> Json:
    with open_stored(root, source, follow_links=follow_links) as stream:
        content = stream.read(_MAX_METADATA_BYTES + 1)
    if len(content) > _MAX_METADATA_BYTES:
        raise UnreadableImage(f"{source} is over {_MAX_METADATA_BYTES >> 20} MiB, which no metadata is")
    return parse_json(content.decode(), source=source)


def _check_size(scale: Multiscale, array: ZarrArray, file: str, max_bytes: int) -> None:
    sizes = scale.sizes(array.shape)
    itemsize = np.dtype(array.dtype).itemsize
    for what, n_pixels in (("plane", sizes["y"] * sizes["x"]), ("chunk", math.prod(array.decoded))):
        if n_pixels * itemsize > max_bytes:
            raise UnreadableImage(
                f"{file} cannot be read as an image: it claims {n_pixels * itemsize / 2**30:.1f} GiB a {what}, "
                f"and at most {max_bytes / 2**30:.0f} GiB are read",
                hint="Such sizes come from damaged metadata.",
            )


def _check_chunks(
    folder: Path, scale: Multiscale, array: ZarrArray, place: dict[str, int], file: str, page: int, *, linked: bool
) -> None:
    """Refuse a plane that nobody wrote; by the format it would be the fill value from edge to edge."""
    absent = ""
    n_there = 0
    for chunk in _chunk_files(scale, array, place):
        # Where a link leads is no matter here: whoever opens it says what is wrong with that.
        if (folder / chunk).is_symlink() if linked else (folder / chunk).is_file():
            n_there += 1
        else:
            absent = absent or chunk
        if absent and n_there and array.fill_declared:
            return
    if absent:
        missing = "a chunk" if n_there else "every chunk"
        raise UnreadableImage(
            f"{file} cannot be read as an image: {missing} of plane {page} is missing, the first {absent}",
            hint=COPY_AGAIN,
        )


def _chunk_files(scale: Multiscale, array: ZarrArray, place: dict[str, int]) -> Iterator[str]:
    ranges = [
        range(math.ceil(size / chunk)) if axis in "yx" else (place[axis] // chunk,)
        for axis, size, chunk in zip(scale.axes, array.shape, array.chunks, strict=True)
    ]
    return map(array.chunk_file, product(*ranges))
