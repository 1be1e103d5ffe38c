"""Planes straight from the TIFF files of a mounted managed repository that a companion speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import MetadataError
from ..pixels import read_plane
from ..planners.folder import join, split
from ..planners.ome_xml import OmeImage, parse_ome, planes
from ..tiff_failures import told_as_unreadable
from .companion import SUFFIX
from .managed_files import OME_TIFF, TIFF, FilesetOnDisk, NotDerivable
from .raw_planes import Plane
from .structure import Place

_Planes = dict[tuple[int, int, int], tuple[str, int]]


class CompanionOnDisk:
    """A fileset whose companion says which page of which of its files each plane is."""

    def __init__(self, managed: Path, companion: str, files: Sequence[str]) -> None:
        """Read what the companion says.

        Raises:
            NotDerivable: it cannot be understood, or leads to what is not of its fileset.
            UnreadableImage: it is not there.
        """
        self._managed = managed
        # Others may have written it: whatever it names, it is read from the fileset's own TIFF files alone.
        own = {file for file in files if file.lower().endswith(TIFF)}
        with told_as_unreadable(companion), (managed / companion).open("rb") as stream:
            try:
                images = parse_ome(stream, source=companion).images
            except MetadataError as error:
                raise NotDerivable(str(error)) from error
        self._series = [_planes_of(image, split(companion)[0], own) for image in images]

    def read(self, place: Place, *, c: int, z: int, t: int, out: Plane | None = None) -> Plane:
        """One plane (Y, X), in native byte order; into ``out`` where given, which is of its shape and type.

        Raises:
            NotDerivable: the companion says nothing of it, or the file holds another than OMERO says.
            UnreadableImage: the file is absent or damaged.
        """
        found = self._series[place.series].get((c, z, t)) if place.series < len(self._series) else None
        if found is None:
            raise NotDerivable(f"its companion has no plane c {c}, z {z}, t {t} in series {place.series}")
        plane = read_plane(self._managed, *found, follow_links=True)
        if plane.shape != (place.height, place.width) or plane.dtype.name != place.dtype:
            raise NotDerivable(f"{found[0]} holds {plane.shape} {plane.dtype}, and OMERO says otherwise")
        if out is None:
            return plane
        out[...] = plane
        return out

    def close(self) -> None:
        """Nothing: each file is open for as long as a plane of it is read."""


def open_fileset(managed: Path, files: Sequence[str]) -> FilesetOnDisk | CompanionOnDisk:
    """The files of a fileset, where it is known which bytes of them are which plane.

    Raises:
        NotDerivable: it is not known.
        UnreadableImage: what says it is not there, or is damaged.
    """
    companions = [file for file in files if file.lower().endswith(SUFFIX)]
    if len(companions) == 1 and not any(file.lower().endswith(OME_TIFF) for file in files):
        return CompanionOnDisk(managed, companions[0], files)
    return FilesetOnDisk(managed, files)


def _planes_of(image: OmeImage, folder: str, own: set[str]) -> _Planes:
    found: _Planes = {}
    for data in image.tiff_data:
        file = join(folder, data.file) if data.file else None
        if file not in own or data.n_planes is None or image.samples != 1:
            raise NotDerivable(f"{image.id or 'an image'} of its companion lies in {data.file or 'no file'}")
        found |= {(c, z, t): (file, ifd) for ifd, c, z, t in planes(image, data, data.ifd + data.n_planes)}
    return found
