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
    Multiscale,
    ZarrArray,
    ome_attributes,
    parse_array,
    parse_json,
    parse_multiscales,
)
from .reach import EVERYTHING, Reach
from .stored_image import open_stored
from .tiff_failures import COPY_AGAIN, told_as_unreadable

_MAX_LEVELS_UP = 4
"""How deep below its image an array may lie: "0" and "scale0/image" were seen."""
_MAX_METADATA_BYTES = 64 << 20


def is_zarr_array(file: str) -> bool:
    """Whether a plate's file is the metadata of a Zarr array."""
    return file.rpartition("/")[2] in ARRAY_FILES


def read_zarr_plane(
    root: Path, file: str, page: int, *, max_bytes: int, follow_links: bool = False, reach: Reach = EVERYTHING
) -> NDArray[Any]:
    """The plane (Y, X) of this number, counted over t, c and z, of the array whose metadata file this is.

    Raises:
        NoLongerAsImported: one of its files was imported in place, and is another one by now, or has changed.
        UnreadableImage: the plane's chunks are not there, are damaged, or need more than ``max_bytes``.
    """
    with told_as_unreadable(file):
        try:
            metadata = _content(root, file, follow_links=follow_links, reach=reach)
            array = parse_array(parse_json(metadata.decode(), source=file), source=file)
            if array.refusal:
                raise UnreadableImage(f"{file} cannot be read: {array.refusal}")
            scale = _scale(root, file, follow_links=follow_links, reach=reach)
        except MetadataError as error:
            raise UnreadableImage(str(error), hint=error.hint) from error
        try:
            place = scale.place(array.shape, page)
        except IndexError as error:
            raise UnreadableImage(f"{file} cannot be read as an image: {error}", hint=COPY_AGAIN) from error
        _check_size(scale, array, file, max_bytes)
        _check_chunks((root / file).parent, scale, array, place, file, page, follow_links=follow_links)
        plane = _selected(root, file, metadata, array, scale, place, follow_links=follow_links, reach=reach)
        return plane if scale.axes.index("y") < scale.axes.index("x") else plane.T


def _selected(
    root: Path,
    file: str,
    metadata: bytes,
    array: ZarrArray,
    scale: Multiscale,
    place: dict[str, int],
    *,
    follow_links: bool,
    reach: Reach,
) -> NDArray[Any]:
    # Loaded by what reads a Zarr and by nothing else: it takes a third of a second.
    import zarr

    from .zarr_chunks import ZarrChunks

    store = ZarrChunks(root, file, array, metadata, follow_links=follow_links, reach=reach)
    opened = zarr.open_array(store=store, mode="r", zarr_format=array.zarr_format)  # type: ignore[arg-type]
    _check_opened(opened, array, file)
    return np.asarray(opened[tuple(slice(None) if axis in "yx" else place[axis] for axis in scale.axes)])


def _check_opened(opened: Any, array: ZarrArray, file: str) -> None:
    """Refuse what the library made of the metadata, where that is another array than the one that was checked."""
    from zarr.core.buffer.core import default_buffer_prototype

    told = opened.metadata.to_buffer_dict(default_buffer_prototype())[file.rpartition("/")[2]].to_bytes()
    taken = parse_array(parse_json(told.decode(), source=file), source=file)
    if taken.refusal:
        raise UnreadableImage(f"{file} cannot be read: {taken.refusal}")
    same = ("shape", "chunks", "decoded", "dtype")
    if any(getattr(taken, name) != getattr(array, name) for name in same):
        raise UnreadableImage(f"{file} cannot be read: the zarr library takes it for another array than it describes")


def _scale(root: Path, file: str, *, follow_links: bool, reach: Reach) -> Multiscale:
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
            metadata = _content(root, source, follow_links=follow_links, reach=reach)
            ome = ome_attributes(parse_json(metadata.decode(), source=source), source=source)
            if "multiscales" in ome:
                scale = parse_multiscales(ome, source=source)[0]
                if scale.paths[0] == below:
                    return scale
        if not group:
            break
    raise UnreadableImage(f"{file} is level 0 of no OME-Zarr image", hint=COPY_AGAIN)


def _content(root: Path, source: str, *, follow_links: bool, reach: Reach) -> bytes:
    with open_stored(root, source, follow_links=follow_links, reach=reach) as stream:
        content = stream.read(_MAX_METADATA_BYTES + 1)
    if len(content) > _MAX_METADATA_BYTES:
        raise UnreadableImage(f"{source} is over {_MAX_METADATA_BYTES >> 20} MiB, which no metadata is")
    return content


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
    folder: Path,
    scale: Multiscale,
    array: ZarrArray,
    place: dict[str, int],
    file: str,
    page: int,
    *,
    follow_links: bool,
) -> None:
    """Refuse a plane that nobody wrote; by the format it would be the fill value from edge to edge."""
    absent = ""
    n_there = 0
    for chunk in _chunk_files(scale, array, place):
        # Where a link leads is no matter here: whoever opens it says what is wrong with that.
        if (folder / chunk).is_file() or (not follow_links and (folder / chunk).is_symlink()):
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
