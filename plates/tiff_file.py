"""A TIFF file on its own, whatever its metadata say of others."""

from __future__ import annotations

from typing import IO

import tifffile


def tiff_file(handle: IO[bytes], file: str) -> tifffile.TiffFile:
    """An open file as tifffile reads it, of which pages and series are the file's own and nobody else's.

    Of OME-TIFF, Micro-Manager and NDTiff, tifffile puts series together of files that the metadata name, wherever
    they lie. The metadata of a source are a stranger's, and a plane is known by the number of a page of this file.
    """
    # By what was opened and never by its name, which may stand for another file a moment later.
    return tifffile.TiffFile(handle, name=file.rpartition("/")[2], is_ome=False, is_mmstack=False, is_ndtiff=False)
