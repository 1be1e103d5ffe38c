"""Pixels: one plane of one image file as an array."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from .bioformats import read_bioformats_plane
from .errors import UnreadableImage
from .model import Image, Plate
from .opening import check_opens_for
from .planners.plain_fileset import is_container
from .reach import EVERYTHING, Reach
from .stored_image import open_stored
from .tiff_failures import COPY_AGAIN, told_as_unreadable
from .tiff_file import tiff_file
from .zarr_planes import is_zarr_array, read_zarr_plane

# A header of a few bytes can ask for terabytes. No camera makes planes of 2 GiB.
MAX_PLANE_BYTES = 2**31

Plane = NDArray[Any]


def read_plane(
    root: Path,
    file: str,
    page: int = 0,
    *,
    out: Plane | None = None,
    follow_links: bool = False,
    reach: Reach = EVERYTHING,
) -> Plane:
    """One plane (Y, X) of a file below ``root``, in native byte order; into ``out`` where given.

    ``page`` counts the planes inside the file: directories, times samples a pixel where those are several; for a Zarr
    array, whose file is its metadata, over t, c and z, z the fastest; for what Bio-Formats reads, over all its series.
    A link is read where an import in place made it, as long as it leads to the very file that was imported;
    ``follow_links`` follows any, in a folder that was not imported, to files within ``reach``.

    Raises:
        NoLongerAsImported: the file was imported in place, and is another one by now, or has changed.
        UnreadableImage: the file is absent, damaged, cut short, has no such page, or is not of out's shape and type.
    """
    if follow_links and is_container(file):
        with told_as_unreadable(file):
            # Bio-Formats opens files by name.
            check_opens_for(reach, root / file)
    if is_zarr_array(file):
        plane = read_zarr_plane(root, file, page, max_bytes=MAX_PLANE_BYTES, follow_links=follow_links, reach=reach)
        return deliver(plane, file, out)
    if is_container(file):
        plane = read_bioformats_plane(root, file, page, max_bytes=MAX_PLANE_BYTES, follow_links=follow_links)
        return deliver(plane, file, out)
    with (
        told_as_unreadable(file),
        open_stored(root, file, follow_links=follow_links, reach=reach) as handle,
        tiff_file(handle, file) as tif,
    ):
        first = tif.pages.first
        n_samples = max(1, first.samplesperpixel)
        index, sample = divmod(page, n_samples)
        found = first if index == 0 else _page(tif, index)
        if found is None:
            plane = _virtual(tif, file, page)
        else:
            _check_size(found, file)
            shape = (found.imagelength, found.imagewidth)
            whole = found.axes == "YX" and found.shape == shape
            if whole and found.is_contiguous and found.dtype is not None and found.bitspersample % 8 == 0:
                return _contiguous(tif, found.dataoffsets[0], shape, found.dtype, file, out)
            direct = out if whole and out is not None and _fits(out, shape, found.dtype) else None
            plane = found.asarray(out=direct, maxworkers=1)
            if direct is not None:
                return direct
            plane = _sample(plane, found.axes, sample, shape)
        return deliver(plane, file, out)


def read_image(plate: Plate, image: Image, *, out: Plane | None = None, follow_links: bool = False) -> Plane:
    """The pixels (Y, X) of an image of a plate whose files lie below the plate's root, as ``read_plane`` reads them.

    Raises:
        NoLongerAsImported: the file was imported in place, and is another one by now, or has changed.
        UnreadableImage: the file is absent or damaged, or does not hold what the plate says.
    """
    plane = read_plane(Path(plate.root), image.file, image.page, out=out, follow_links=follow_links)
    if plane.shape != (image.height, image.width) or plane.dtype.name != image.dtype:
        raise UnreadableImage(
            f"{image.file} holds {plane.shape[1]} x {plane.shape[0]} {plane.dtype.name}, "
            f"and its plate says {image.width} x {image.height} {image.dtype}",
            hint="The file has changed since it was imported.",
        )
    return plane


def _page(tif: tifffile.TiffFile, index: int) -> tifffile.TiffPage | None:
    """A page of the file, None beyond the last: such planes lie behind a single directory."""
    if index >= 1 and len(tif.pages) == 1:
        return None
    page = tif.pages[index]
    return page if isinstance(page, tifffile.TiffPage) else page.aspage()


def _check_size(page: tifffile.TiffPage, file: str) -> None:
    n_bytes = math.prod(page.shape) * (page.dtype.itemsize if page.dtype is not None else 1)
    if n_bytes > MAX_PLANE_BYTES:
        raise UnreadableImage(
            f"{file} cannot be read as an image: it claims {page.imagewidth} x {page.imagelength} pixels, "
            f"{n_bytes / 2**30:.1f} GiB a page, and at most {MAX_PLANE_BYTES / 2**30:.0f} GiB are read",
            hint="Such sizes come from damaged headers.",
        )


def _contiguous(
    tif: tifffile.TiffFile,
    offset: int,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    file: str,
    out: Plane | None,
) -> Plane:
    """Read raw pixels straight into place, with no copy between."""
    stored = dtype.newbyteorder(tif.byteorder)
    native = dtype.newbyteorder("=")
    target = out if out is not None and _fits(out, shape, native) else np.empty(shape, native)
    handle = tif.filehandle
    handle.seek(offset)
    if (n_read := handle.readinto(target.data.cast("B"))) != target.nbytes:
        raise UnreadableImage(
            f"{file} is cut short: {target.nbytes} bytes of pixels are due and {n_read} are there",
            hint=COPY_AGAIN,
        )
    if stored != native:
        target.byteswap(inplace=True)
    return target if target is out else deliver(target, file, out)


def _virtual(tif: tifffile.TiffFile, file: str, page: int) -> Plane:
    """A plane that has no directory of its own (ImageJ hyperstacks, MetaMorph stacks)."""
    series = tif.series[0]
    shape = (series.shape[series.axes.index("Y")], series.shape[series.axes.index("X")])
    n_planes = math.prod(series.shape) // max(1, math.prod(shape))
    if page >= n_planes or not series.axes.endswith("YX"):
        held = "1 page" if n_planes == 1 else f"{n_planes} planes"
        raise UnreadableImage(f"{file} holds {held}, and plane {page} was asked for", hint=COPY_AGAIN)
    if series.dataoffset is not None:
        n_bytes = math.prod(shape) * series.dtype.itemsize
        return _contiguous(tif, series.dataoffset + page * n_bytes, shape, series.dtype, file, None)
    if series.nbytes > MAX_PLANE_BYTES:
        raise UnreadableImage(
            f"{file} keeps {n_planes} planes in one compressed block of {series.nbytes} bytes",
            hint="Save it again with a directory for each plane.",
        )
    plane: Plane = series.asarray(maxworkers=1).reshape(n_planes, *shape)[page]
    return plane


def _sample(page: Plane, axes: str, sample: int, shape: tuple[int, int]) -> Plane:
    """One sample of a page whose samples lie behind (YXS) or before (SYX) its pixels."""
    if axes.startswith("YX"):
        behind: Plane = page.reshape(*shape, -1)[:, :, sample]
        return behind
    before: Plane = page.reshape(-1, *shape)[sample]
    return before


def _fits(out: Plane, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> bool:
    return bool(
        dtype is not None
        and out.shape == shape
        and out.dtype == dtype
        and out.dtype.isnative
        and out.flags.c_contiguous
        and out.flags.writeable
    )


def deliver(plane: Plane, file: str, out: Plane | None) -> Plane:
    """A plane in native byte order; in ``out`` where given.

    Raises:
        UnreadableImage: it is not of out's shape and type.
    """
    native = plane.dtype.newbyteorder("=")
    if out is None:
        return np.ascontiguousarray(plane, dtype=native)
    if out.shape != plane.shape or out.dtype != native:
        raise UnreadableImage(
            f"{file} holds {plane.shape} {native.name}, and {out.shape} {out.dtype.name} was asked for",
            hint="The file has changed since it was imported.",
        )
    np.copyto(out, plane)
    return out
