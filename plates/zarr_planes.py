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
from .tiff_failures import COPY_AGAIN, told_as_unreadable
from .zarr_files import DiskFiles, ZarrFiles

_MAX_LEVELS_UP = 4
"""How deep below its image an array may lie: "0" and "scale0/image" were seen."""
_MAX_CHUNKS = 1_000_000
"""More of one plane than any writer makes: such numbers come from damaged metadata."""


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
    return read_plane_of(DiskFiles(root, follow_links=follow_links, reach=reach), file, page, max_bytes=max_bytes)


def read_plane_of(files: ZarrFiles, file: str, page: int, *, max_bytes: int) -> NDArray[Any]:
    """As ``read_zarr_plane``, wherever the files are.

    Raises:
        UnreadableImage: the plane's chunks are not there, are damaged, or need more than ``max_bytes``.
        PlaceAway: the files are elsewhere, and cannot be had now.
    """
    with told_as_unreadable(file):
        try:
            metadata = files.metadata(file)
            array = parse_array(parse_json(metadata.decode(), source=file), source=file)
            if array.refusal:
                raise UnreadableImage(f"{file} cannot be read: {array.refusal}")
            scale = _scale(files, file)
        except MetadataError as error:
            raise UnreadableImage(str(error), hint=error.hint) from error
        try:
            place = scale.place(array.shape, page)
        except IndexError as error:
            raise UnreadableImage(f"{file} cannot be read as an image: {error}", hint=COPY_AGAIN) from error
        _check_size(scale, array, file, max_bytes)
        _check_chunks(files, scale, array, place, file, page)
        plane = _selected(files, file, metadata, array, scale, place)
        return plane if scale.axes.index("y") < scale.axes.index("x") else plane.T


def _selected(
    files: ZarrFiles, file: str, metadata: bytes, array: ZarrArray, scale: Multiscale, place: dict[str, int]
) -> NDArray[Any]:
    # Loaded by what reads a Zarr and by nothing else: it takes a third of a second.
    import zarr

    from .zarr_chunks import ZarrChunks

    store = ZarrChunks(files, file, array, metadata)
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


def _scale(files: ZarrFiles, file: str) -> Multiscale:
    """The image that an array is level 0 of: it alone says what the array's axes are."""
    array = file.rpartition("/")[0]
    group = array
    for _ in range(_MAX_LEVELS_UP):
        group = group.rpartition("/")[0]
        below = array[len(group) :].strip("/")
        for name in ("zarr.json", ".zattrs"):
            source = f"{group}/{name}" if group else name
            if not files.has_metadata(source):
                continue
            metadata = files.metadata(source)
            ome = ome_attributes(parse_json(metadata.decode(), source=source), source=source)
            if "multiscales" in ome:
                scale = parse_multiscales(ome, source=source)[0]
                if scale.paths[0] == below:
                    return scale
        if not group:
            break
    raise UnreadableImage(f"{file} is level 0 of no OME-Zarr image", hint=COPY_AGAIN)


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
    files: ZarrFiles, scale: Multiscale, array: ZarrArray, place: dict[str, int], file: str, page: int
) -> None:
    """Refuse a plane that nobody wrote; by the format it would be the fill value from edge to edge."""
    folder = file.rpartition("/")[0]
    chunks = _chunk_files(scale, array, place)
    n_chunks = math.prod(len(one) for one in _chunk_ranges(scale, array, place))
    if n_chunks > _MAX_CHUNKS:
        raise UnreadableImage(
            f"{file} cannot be read as an image: it claims {n_chunks:,} chunks a plane, "
            f"and at most {_MAX_CHUNKS:,} are read",
            hint="Such sizes come from damaged metadata.",
        )
    named = [f"{folder}/{chunk}" if folder else chunk for chunk in chunks]
    files.expect(array, named)
    absent = ""
    n_there = 0
    for chunk in named:
        if files.has_chunk(chunk):
            n_there += 1
        else:
            absent = absent or chunk[len(folder) :].lstrip("/")
        if absent and n_there and array.fill_declared:
            return
    if absent:
        missing = "a chunk" if n_there else "every chunk"
        raise UnreadableImage(
            f"{file} cannot be read as an image: {missing} of plane {page} is missing, the first {absent}",
            hint=COPY_AGAIN,
        )


def _chunk_files(scale: Multiscale, array: ZarrArray, place: dict[str, int]) -> Iterator[str]:
    return map(array.chunk_file, product(*_chunk_ranges(scale, array, place)))


def _chunk_ranges(scale: Multiscale, array: ZarrArray, place: dict[str, int]) -> list[range]:
    return [
        range(math.ceil(size / chunk)) if axis in "yx" else range(place[axis] // chunk, place[axis] // chunk + 1)
        for axis, size, chunk in zip(scale.axes, array.shape, array.chunks, strict=True)
    ]
