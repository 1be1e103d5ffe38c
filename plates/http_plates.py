"""Plates that others serve by HTTP as OME-Zarr, 0.4 or 0.5: seen and analysed here, and never written to."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np

from .errors import MetadataError, PlaceAway, UnreadableImage
from .http_fetch import HttpFetcher, Wanted
from .labels import Labels
from .local.errors import PlateNotFound
from .model import Plate, PlateSummary
from .pixels import MAX_PLANE_BYTES, deliver
from .planners.folder import split
from .planners.ome_zarr import read_plate
from .planners.served_hierarchy import ServedHierarchy
from .planners.zarr_metadata import ZarrArray
from .plate_source import Freshness, Plane, Stamped
from .zarr_files import Part, part_of
from .zarr_planes import read_plane_of

METADATA_BYTES = 4 << 20
"""More than the metadata of a plate of 1536 wells by a factor of ten."""
STRUCTURE_S = 900.0
"""How long the metadata of one plate may take: a server may answer just in time, file after file."""
MAX_CHUNKS = 65_536
REREAD_S = 86_400.0
"""How often all of a plate is read again although its own metadata are the same: its wells may have changed."""
REMEMBERED_S = 60.0
"""How long a process that reads planes goes by metadata that it has read."""
REMEMBERED_FILES = 256
CHUNKS_AT_ONCE = 64


class HttpPlate(NamedTuple):
    """A plate's name here, its address, and how long its structure is told from memory."""

    name: str
    url: str
    fresh_s: float = 60.0


class HttpPlates:
    """Some plates by their numbers; everybody sees them, and their results are kept here."""

    kind = "http"
    compatible_results: tuple[str, ...] = ("local",)

    def __init__(
        self,
        plates: Mapping[int, HttpPlate],
        fetcher: HttpFetcher | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask for nothing yet; ``clock`` says the seconds since 1970."""
        self._plates = plates
        self._clock = clock
        self._fetcher = fetcher or HttpFetcher()

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate by its name; what it holds is not asked for, which takes many questions."""
        return tuple(
            PlateSummary(id=number, name=one.name, n_wells=0, n_fields=0, n_images=0)
            for number, one in self._plates.items()
        )

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        """Return what one plate holds, its root being its address.

        Raises:
            PlateNotFound: it is not among these, or no longer served.
            MetadataError: what is served is no plate, or a damaged one.
            PlaceRefused, PlaceAway: the server does not hand it out, or cannot be reached.
        """
        one = self._named(plate_id)
        zarr = self._hierarchy(one)
        if not zarr.is_there:
            raise _not_served(plate_id, one)
        zarr.expect_plate()
        plate = read_plate(zarr)
        notes = (*plate.notes, "planes whose chunks are not served are found missing when they are read")
        return msgspec.structs.replace(plate, id=plate_id, name=one.name, root=one.url, notes=notes)

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        """Return what one plate holds, with its stamp, which is asked for first.

        Raises:
            PlateNotFound, MetadataError, PlaceRefused, PlaceAway: as for ``plate``.
        """
        stamp = self.stamp(plate_id, requester)
        return Stamped(self.plate(plate_id, requester), stamp)

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        """Say where the plate is served.

        Raises:
            PlateNotFound: it is not among these.
        """
        return Labels(description=f"served at {self._named(plate_id).url}")

    def freshness(self, plate_id: int = 0) -> Freshness:
        """What a plate holds may change without us; the list of them does so by the settings alone."""
        return Freshness(self._named(plate_id).fresh_s if plate_id else None)

    def stamp(self, plate_id: int, requester: str = "") -> str:
        """The digest of the plate's own metadata, which lists its wells, and the day: of the wells it tells nothing.

        Raises:
            PlateNotFound: it is not among these, or no longer served.
            PlaceRefused, PlaceAway: the server does not hand it out, or cannot be reached.
        """
        one = self._named(plate_id)
        found = self._hierarchy(one).own_metadata
        if found is None:
            raise _not_served(plate_id, one)
        return f"{hashlib.sha256(found).hexdigest()} {int(self._clock() // REREAD_S)}"

    def close(self) -> None:
        """Close the connections."""
        self._fetcher.close()

    def _hierarchy(self, one: HttpPlate) -> ServedHierarchy:
        until_s = time.monotonic() + STRUCTURE_S

        def fetch(paths: Sequence[str]) -> list[bytes | None]:
            if time.monotonic() > until_s:
                raise PlaceAway(f"the metadata of {one.url} were not whole after {STRUCTURE_S / 60:g} minutes")
            try:
                return self._fetcher.get_all([Wanted(address(one.url, path), METADATA_BYTES) for path in paths])
            except UnreadableImage as error:
                raise MetadataError(str(error), hint=error.hint) from error

        return ServedHierarchy(split(one.url)[1], fetch)

    def _named(self, plate_id: int) -> HttpPlate:
        if plate_id not in self._plates:
            raise PlateNotFound(
                f"Plate {plate_id} is not among [[http_plates]] (any more).",
                hint="Name its address again: the number of a plate stays with its address.",
            )
        return self._plates[plate_id]


class HttpFiles:
    """The files of a served plate while one plane of it is read; its chunks are fetched several at a time."""

    def __init__(self, fetcher: HttpFetcher, root: str, remembered: _Remembered) -> None:
        self._fetcher = fetcher
        self._root = root
        self._remembered = remembered
        self._chunks: dict[str, bytes | None] = {}
        self._max_bytes = 0
        self._in_parts = False

    def has_metadata(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return self._metadata(path) is not None

    def metadata(self, path: str) -> bytes:
        """All of a file that holds metadata."""
        found = self._metadata(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "it is not served any more", path)
        return found

    def expect(self, array: ZarrArray, chunks: Sequence[str]) -> None:
        """Fetch chunks, or of those that are made of others see whether they are there.

        Raises:
            UnreadableImage: they are too many, or larger than they can be.
            PlaceRefused, PlaceAway: the server does not hand them out, or cannot be reached.
        """
        if len(chunks) > MAX_CHUNKS:
            raise UnreadableImage(f"a plane of {len(chunks):,} chunks is not fetched, and at most {MAX_CHUNKS:,} are")
        # No codec that is read here makes twice as much of what it packs.
        whole = 2 * math.prod(array.chunks) * np.dtype(array.dtype).itemsize + (1 << 20)
        self._max_bytes = min(whole, MAX_PLANE_BYTES)
        self._in_parts = array.chunks != array.decoded
        one_byte = Part(-1) if self._in_parts else None
        n_bytes = 0
        for first in range(0, len(chunks), CHUNKS_AT_ONCE):
            some = chunks[first : first + CHUNKS_AT_ONCE]
            found = self._fetcher.get_all([Wanted(address(self._root, one), self._max_bytes, one_byte) for one in some])
            n_bytes += sum(len(one) for one in found if one is not None)
            if n_bytes > MAX_PLANE_BYTES:
                raise UnreadableImage(f"the chunks of one plane are over {MAX_PLANE_BYTES >> 30} GiB")
            self._chunks.update(zip(some, found, strict=True))

    def has_chunk(self, path: str) -> bool:
        """Whether a chunk that was expected is served."""
        return self._chunks.get(path) is not None

    def chunk(self, path: str, part: Part | None) -> bytes | None:
        """The bytes of a chunk or of a part of it; None of one that is not served."""
        found = self._chunks.get(path)
        if found is None or not self._in_parts:
            return None if found is None else part_of(io.BytesIO(found), part)
        wanted = self._max_bytes if part is None or part.length is None else part.length
        if part is not None and part.start < 0:
            wanted = -part.start
        return self._fetcher.get(Wanted(address(self._root, path), min(wanted, self._max_bytes), part))

    def _metadata(self, path: str) -> bytes | None:
        return self._remembered.get(self._fetcher, address(self._root, path))


class _Remembered:
    """Metadata files that a process has read of late: of the planes of one field they are the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, tuple[float, bytes | None]] = OrderedDict()

    def get(self, fetcher: HttpFetcher, url: str) -> bytes | None:
        now_s = time.monotonic()
        with self._lock:
            read_at_s, found = self._found.get(url, (-math.inf, None))
        if now_s - read_at_s < REMEMBERED_S:
            return found
        found = fetcher.get(Wanted(url, METADATA_BYTES))
        with self._lock:
            self._found[url] = now_s, found
            self._found.move_to_end(url)
            while len(self._found) > REMEMBERED_FILES:
                self._found.popitem(last=False)
        return found


class HttpPlanes:
    """Reads planes of any served plate, whoever asks."""

    def __init__(self, fetcher: HttpFetcher | None = None) -> None:
        """Ask for nothing yet."""
        self._fetcher = fetcher or HttpFetcher()
        self._remembered = _Remembered()

    def __call__(self, root: str, file: str, page: int = 0, *, out: Plane | None = None, requester: str = "") -> Plane:
        """One plane (Y, X) of a served plate, in native byte order; into ``out`` where given.

        Raises:
            UnreadableImage: the plane is not served or damaged, or not of out's shape and type.
            PlaceAway: the server cannot be reached.
        """
        files = HttpFiles(self._fetcher, root, self._remembered)
        return deliver(read_plane_of(files, file, page, max_bytes=MAX_PLANE_BYTES), file, out)

    def let_go(self) -> None:
        """Answer whoever waits for a plane now that what asked is stopping."""
        self._fetcher.let_go()


@cache
def planes_of_this_process() -> HttpPlanes:
    """What reads here, with its connections."""
    return HttpPlanes()


def address(root: str, path: str) -> str:
    """The address of a file below a plate's.

    Raises:
        UnreadableImage: the path leads out of the plate.
    """
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise UnreadableImage(f"{path!r} is no name of a file of the plate")
    return f"{root}/{quote(path)}"


def _not_served(plate_id: int, plate: HttpPlate) -> PlateNotFound:
    return PlateNotFound(
        f"Plate {plate_id} ({plate.name}): no OME-Zarr is served at {plate.url}.",
        hint="The address is that of the plate's own folder, the one that holds .zattrs or zarr.json.",
    )
