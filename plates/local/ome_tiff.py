"""Label and processed images as OME-TIFF, which Fiji, napari and Bio-Formats open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from .disk import sync_file
from .errors import BadResultPlane, repository_errors

Compression = Literal["zlib", "zstd", "lzw"]
_ALLOWED_AXES = frozenset("TCZYX")
_FAST = 1
"""Labels shrink fifty times at the lowest level; higher ones cost milliseconds and gain little."""


def write_ome_tiff(
    path: Path,
    array: NDArray[Any],
    *,
    axes: str = "YX",
    name: str = "",
    pixel_size_um: float | None = None,
    channel_names: Sequence[str] = (),
    compression: Compression | None = "zlib",
    labels: bool = False,
) -> NDArray[Any]:
    """Write an image durably and return it as it was stored.

    With ``labels`` the values become the smallest unsigned type that holds them; other images keep
    theirs, except that OME knows no bool and no 64-bit integers. ``axes`` are letters of TCZYX that end in YX.

    Raises:
        BadResultPlane: shape, axes, channel names or values do not fit each other or the format.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    if len(axes) != array.ndim or not axes.endswith("YX") or set(axes) - _ALLOWED_AXES or len(set(axes)) != len(axes):
        raise BadResultPlane(f"Axes {axes!r} do not describe an image of shape {array.shape}.")
    n_channels = array.shape[axes.index("C")] if "C" in axes else 1
    if channel_names and len(channel_names) != n_channels:
        raise BadResultPlane(f"{len(channel_names)} channel names were given for {n_channels} channels.")
    stored = np.ascontiguousarray(smallest_labels(array) if labels else _storable(array))
    metadata: dict[str, Any] = {"axes": axes, "Name": name or path.name.split(".")[0]}
    if pixel_size_um is not None:
        metadata |= {f"PhysicalSize{axis}": pixel_size_um for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    if channel_names:
        metadata["Channel"] = {"Name": list(channel_names)}
    with repository_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            tifffile.imwrite(
                path,
                stored,
                ome=True,
                photometric="minisblack",
                metadata=metadata,
                compression=compression,
                compressionargs={"level": _FAST} if compression in ("zlib", "zstd") else None,
                # One strip: a reader gets the plane with one read and one call of the codec.
                rowsperstrip=stored.shape[-2],
            )
        except (ValueError, TypeError, tifffile.TiffFileError) as error:
            raise BadResultPlane(f"{path.name} cannot be written as OME-TIFF: {error}.") from error
        sync_file(path)
    return stored


def smallest_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as uint8, uint16 or uint32, whichever is the smallest that holds them.

    Raises:
        BadResultPlane: they are not whole numbers from 0 to 2**32 - 1.
    """
    if labels.dtype.kind not in "bui":
        raise BadResultPlane(f"Labels are whole numbers, and these are {labels.dtype}.")
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    for dtype in (np.uint8, np.uint16, np.uint32):
        if low >= 0 and high <= np.iinfo(dtype).max:
            return labels.astype(dtype, copy=False)
    raise BadResultPlane(f"Labels from {low} to {high} do not fit into 32 bits without sign.")


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise BadResultPlane(f"OME-TIFF has no pixels of type {array.dtype}.")
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind in "ui" and array.dtype.itemsize == 8:
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        for dtype in (np.uint32, np.int32):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return array.astype(dtype)
        raise BadResultPlane(f"Values from {low} to {high} do not fit into 32 bits, the most that OME knows.")
    return array
