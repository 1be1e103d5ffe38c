"""Planes straight from the files of a mounted managed repository, where their layout can be derived."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tifffile

from ..errors import UnreadableImage
from ..tiff_failures import told_as_unreadable
from .raw_planes import Plane, target
from .structure import Place

FILES = """
select fse.fileset.id, orig.path, orig.name from FilesetEntry fse join fse.originalFile orig
where fse.fileset.id in (:fsids) order by fse.fileset.id, fse.id
"""
TIFF = (".tif", ".tiff", ".tf2", ".tf8", ".btf")
OME_TIFF = tuple(f".ome{suffix}" for suffix in TIFF)


class NotDerivable(Exception):
    """Nobody but OMERO's own reader knows which bytes of these files are which plane."""


class FilesetOnDisk:
    """The open TIFF that holds the planes of a fileset; used by one thread at a time."""

    def __init__(self, managed: Path, files: Sequence[str]) -> None:
        """Open the file that a fileset is read from.

        Raises:
            NotDerivable: the fileset is no TIFF, or several that nothing ties together.
            UnreadableImage: it is not there or is damaged.
        """
        file = chosen_file(files)
        self._file = file
        self._managed = managed
        self._files = files
        self._reading = threading.Lock()
        self._closed = False
        self._pages: dict[tuple[Place, int, int, int], Any] = {}
        with told_as_unreadable(file):
            self._tif = tifffile.TiffFile(managed / file)

    def read(self, place: Place, *, c: int, z: int, t: int, out: Plane | None = None) -> Plane | None:
        """One plane (Y, X), in native byte order; None once the file was let go of.

        ``out``, where given, is of the plane's shape and type.

        Raises:
            NotDerivable: the file's axes are none that tell c, z and t.
            UnreadableImage: the file has no such plane, or holds another than OMERO says.
        """
        with self._reading, told_as_unreadable(self._file):
            if self._closed:
                return None
            # Found once: beside a plane that fills the caches each line of Python is dear.
            page = self._pages.get((place, c, z, t)) or self._found(place, c=c, z=z, t=t)
            plane = out if out is not None else target(place, None)
            # A view: tifffile turns the array it is given into other shapes, and leaves it so where it fails.
            view = plane[...]
            if page.parent is self._tif:
                read: Plane = page.asarray(out=view, maxworkers=1)
            else:
                with _opened(page.parent.filehandle):
                    read = page.asarray(out=view, maxworkers=1)
            if not np.may_share_memory(read, plane):
                np.copyto(plane, read)
            return plane

    def close(self) -> None:
        """Let go of the file."""
        with self._reading:
            self._closed = True
            self._pages.clear()
            self._tif.close()

    def _found(self, place: Place, *, c: int, z: int, t: int) -> Any:
        page = self._page(place, c=c, z=z, t=t)
        if page.shape != (place.height, place.width) or page.dtype is None or page.dtype.name != place.dtype:
            raise NotDerivable(f"{self._file} holds {page.shape} {page.dtype}, and OMERO says otherwise")
        self._pages[place, c, z, t] = page
        return page

    def _page(self, place: Place, *, c: int, z: int, t: int) -> Any:
        n_series = len(self._tif.series)
        if place.series >= n_series:
            raise NotDerivable(f"{self._file} holds {n_series} series, and OMERO says series {place.series}")
        series = self._tif.series[place.series]
        index = plane_index(series.axes, series.shape, place, c=c, z=z, t=t)
        page = series.pages[index] if index < len(series.pages) else None
        if page is None:
            raise UnreadableImage(f"{self._file} has no plane {index} in series {place.series}.")
        if page.parent is not self._tif and Path(page.parent.filehandle.path).resolve() not in self._own_files:
            # Its metadata may name any file, another person's too; the fileset's own are those that OMERO lists.
            raise NotDerivable(f"{self._file} leads to {page.parent.filehandle.name}, which is not of its fileset")
        return page

    @cached_property
    def _own_files(self) -> frozenset[Path]:
        return frozenset((self._managed / file).resolve() for file in self._files)


@contextmanager
def _opened(handle: Any) -> Iterator[None]:
    """Have a file open: tifffile closes those that the first one leads to."""
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        yield
    finally:
        if was_closed:
            handle.close()


def chosen_file(files: Sequence[str]) -> str:
    """The file from which a fileset is read.

    Raises:
        NotDerivable: there is none of which that is known.
    """
    if len(files) == 1 and files[0].lower().endswith(TIFF):
        return files[0]
    for file in files:
        if file.lower().endswith(OME_TIFF):
            # Its OME-XML leads to the others.
            return file
    raise NotDerivable(f"{len(files)} files, {files[0] if files else 'none'} the first, are no TIFF of a known layout")


def plane_index(axes: str, shape: Sequence[int], place: Place, *, c: int, z: int, t: int) -> int:
    """Which plane of a series is meant, its axes before Y and X being C, Z and T, or one that counts them all.

    Raises:
        NotDerivable: the axes are others.
    """
    if not axes.endswith("YX"):
        raise NotDerivable(f"axes {axes}")
    leading, sizes = axes[:-2], shape[:-2]
    at, n = {"C": c, "Z": z, "T": t}, {"C": place.n_c, "Z": place.n_z, "T": place.n_t}
    if len(leading) == 1 and leading not in n and sizes[0] == place.n_c * place.n_z * place.n_t:
        # A plain TIFF, whose planes lie as OMERO's readers count them where nothing says otherwise.
        return c + place.n_c * (z + place.n_z * t)
    said = dict(zip(leading, sizes, strict=True))
    if len(said) != len(leading) or set(said) - set(n) or any(said.get(axis, 1) != n[axis] for axis in n):
        raise NotDerivable(f"axes {axes} of {tuple(shape)}")
    index = 0
    for axis in leading:
        index = index * said[axis] + at[axis]
    return index


def files_of(rows: Iterable[Sequence[Any]]) -> dict[int, tuple[str, ...]]:
    """The files of each fileset below the managed repository, in their order.

    A path that would lead out of the repository is left out: names in a database are not to be trusted with that.
    """
    found: dict[int, list[str]] = {}
    for fileset_id, folder, name in rows:
        path = PurePosixPath(f"{folder}{name}")
        kept = found.setdefault(fileset_id, [])
        if not path.is_absolute() and ".." not in path.parts:
            kept.append(str(path))
    return {fileset_id: tuple(files) for fileset_id, files in found.items()}
