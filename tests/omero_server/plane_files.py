"""Where the pixels of an image lie: in a raw file of the server's own, or in files that were imported."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray

DTYPES = {
    "int8": ">i1", "uint8": ">u1", "int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4", "float": ">f4",
    "double": ">f8",
}  # fmt: skip
"""OMERO's pixels are big-endian on the wire and on disk."""


class NoPlane(Exception):
    """The file that should hold the plane does not."""


@dataclass(frozen=True)
class Shape:
    """How many planes of what size."""

    t: int
    c: int
    z: int
    y: int
    x: int
    dtype: str

    @property
    def plane_bytes(self) -> int:
        return self.y * self.x * np.dtype(self.dtype).itemsize

    @property
    def n_planes(self) -> int:
        return self.t * self.c * self.z

    def index(self, z: int, c: int, t: int) -> int:
        """Which plane it is, z fastest and t slowest."""
        return z + self.z * (c + self.c * t)


class Planes(Protocol):
    """Reads the planes of one image, each as (Y, X) in OMERO's byte order."""

    def plane(self, z: int, c: int, t: int) -> NDArray[Any]:
        """One plane.

        Raises:
            NoPlane: the file is not there, or ends before it.
        """

    def close(self) -> None: ...


class RawPlanes:
    """One plane after the other in one file, which grows as they are written."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self._path = path
        self._shape = shape

    def plane(self, z: int, c: int, t: int) -> NDArray[Any]:
        n_bytes = self._shape.plane_bytes
        try:
            with self._path.open("rb") as file:
                data = os.pread(file.fileno(), n_bytes, self._shape.index(z, c, t) * n_bytes)
        except FileNotFoundError:
            raise NoPlane(f"no pixels have been written to {self._path.name}") from None
        if len(data) < n_bytes:
            raise NoPlane(f"plane z={z} c={c} t={t} of {self._path.name} has not been written")
        return np.frombuffer(data, self._shape.dtype).reshape(self._shape.y, self._shape.x)

    def write(self, plane: bytes, z: int, c: int, t: int) -> None:
        self._path.touch()
        with self._path.open("r+b") as file:
            os.pwrite(file.fileno(), plane, self._shape.index(z, c, t) * self._shape.plane_bytes)

    def sha1(self) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha1").hexdigest()

    def close(self) -> None:
        """Nothing: the file is open only while it is read."""


class Place(NamedTuple):
    """One plane in an imported file: the file's number in its fileset, and the page of the TIFF."""

    file: int
    page: int


@dataclass
class PlaneMap:
    """Where a reader found the planes of one image, in the order of ``Shape.index``; None where there is none."""

    files: list[str]
    """By number, relative to the managed repository."""
    places: list[Place | None]
    series: int | None = None
    """The number of the image where Bio-Formats decodes it; there are no places then."""

    def write(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> PlaneMap:
        said = json.loads(path.read_text())
        return cls(said["files"], [place and Place(*place) for place in said["places"]], said.get("series"))


class ImportedPlanes:
    """Decodes planes from the files of a fileset."""

    def __init__(self, managed: Path, plane_map: PlaneMap, shape: Shape) -> None:
        self._managed = managed
        self._map = plane_map
        self._shape = shape
        self._open: dict[int, tifffile.TiffFile] = {}
        self._lock = threading.Lock()

    def plane(self, z: int, c: int, t: int) -> NDArray[Any]:
        place = self._map.places[self._shape.index(z, c, t)]
        if place is None:
            raise NoPlane(f"the fileset has no plane z={z} c={c} t={t}")
        with self._lock:
            if place.file not in self._open:
                path = self._managed / self._map.files[place.file]
                if not path.exists():
                    raise NoPlane(f"{self._map.files[place.file]} is not in the managed repository")
                self._open[place.file] = tifffile.TiffFile(path)
            found: NDArray[Any] = self._open[place.file].pages[place.page].asarray()
        return found.astype(self._shape.dtype, copy=False)

    def close(self) -> None:
        for one in self._open.values():
            one.close()
        self._open.clear()
