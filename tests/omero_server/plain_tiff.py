"""Reads plain TIFF: the one image of a file, a plane per page."""

from __future__ import annotations

from pathlib import Path

import tifffile

from omero_server.plane_files import DTYPES, Place
from omero_server.read_fileset import ReadChannel, ReadFileset, ReadImage, Unreadable

TYPES = {dtype[1:]: name for name, dtype in DTYPES.items()}


def read_plain_tiff(files: list[Path]) -> ReadFileset | None:
    """The image of the first file, whatever lies beside it, or None where one of them is no TIFF.

    Raises:
        Unreadable: pages differ, or hold colours.
    """
    if not all(path.name.lower().endswith((".tif", ".tiff")) for path in files):
        return None
    # Bio-Formats is given this one, and finds nothing in it about the others.
    return ReadFileset("TIFF", [_image(files[0], 0)])


def _image(path: Path, number: int) -> ReadImage:
    try:
        file = tifffile.TiffFile(path)
    except (tifffile.TiffFileError, FileNotFoundError) as wrong:
        raise Unreadable(f"{path.name}: {wrong}") from None
    with file:
        pages = list(file.pages)
        shapes = {(page.shape, str(page.dtype)) for page in pages}
        if len(shapes) != 1 or pages[0].ndim != 2:
            raise Unreadable(f"{path.name} has pages of {len(shapes)} kinds, or colours")
        height, width = pages[0].shape
        dtype = pages[0].dtype.str[1:]
        if dtype not in TYPES:
            raise Unreadable(f"{path.name} holds {pages[0].dtype}")
        # Without a word about dimensions, the pages are time points to Bio-Formats.
        return ReadImage(
            name=path.name,
            sizes={"X": width, "Y": height, "Z": 1, "C": 1, "T": len(pages)},
            type=TYPES[dtype],
            order="XYCZT",
            channels=[ReadChannel()],
            places=[Place(number, page) for page in range(len(pages))],
        )
