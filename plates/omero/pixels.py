"""Planes of plates in OMERO: from its files where they are mounted and proven, else through its API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ..errors import UnreadableImage
from ..model import Image
from .companion_files import CompanionOnDisk, open_fileset
from .connection import Connection
from .managed_files import FILES, FilesetOnDisk, NotDerivable, files_of
from .plane_counts import PixelStatistics
from .raw_planes import Plane, read_raw_plane, target
from .served_planes import series_of
from .structure import OmeroPlate, Place

OPEN_FILESETS = 32
"""Each is an open file, and what was read of its headers."""
SEEN_S = 60.0
"""How long files are read on without asking whether the person may still see them."""
AGAIN_S = 300.0
"""When files that were not read are looked at again; each time that it fails again, twice as long after."""
LONGEST_AGAIN_S = 3600.0
# Ids in one query; servers bound the length of one.
_IDS_AT_ONCE = 1000


T = TypeVar("T")
OnDisk = FilesetOnDisk | CompanionOnDisk


class Reads(Protocol):
    """A session to read in."""

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do what changes nothing."""


class NotProven(NotDerivable):
    """The files give other pixels than the server, or only such as prove nothing."""


class LeftAlone(NamedTuple):
    """Why a fileset's files are not read, and until when."""

    reason: str
    in_short: str
    """The same without the names of files, which not everybody may see who may look at statistics."""
    until_s: float
    pause_s: float


class OmeroPixels:
    """Reads planes in one session's name; a fileset's files are trusted once they gave what the API gives."""

    def __init__(
        self, session: Reads, *, managed: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read through the connections of one session, and from ``managed``, where the repository is mounted."""
        self._session = session
        self._managed = managed
        self._clock = clock
        self._counting = threading.Lock()
        self._proving = threading.Lock()
        self._open: dict[int, OnDisk] = {}
        self._seen_at_s: dict[int, float] = {}
        self._proven: set[int] = set()
        self._files: dict[int, tuple[str, ...]] = {}
        self._not_local: dict[int, LeftAlone] = {}
        self._n_local = self._n_remote = self._local_bytes = self._remote_bytes = 0

    def read(self, found: OmeroPlate, image: Image, *, out: Plane | None = None) -> Plane:
        """One plane (Y, X) of a plate, in native byte order; into ``out`` where given.

        Raises:
            ImageTooLarge: it is larger than any that is read.
            UnreadableImage: the server gives other bytes than the plane has, or ``out`` is of another shape or type.
            OmeroError: the server refuses or cannot be reached.
        """
        place = found.places[image.file]
        return self._read(place, image.c, image.z, image.t, out, found.places.values())

    def read_at(self, place: Place, *, c: int, z: int, t: int, out: Plane | None = None) -> Plane:
        """The same of a place alone; what else its fileset holds is asked once.

        Raises:
            UnreadableImage, OmeroError: as for ``read``.
        """
        return self._read(place, c, z, t, out, None)

    def _read(self, place: Place, c: int, z: int, t: int, out: Plane | None, places: Iterable[Place] | None) -> Plane:
        out = target(place, out)
        fileset = self._fileset(places, place)
        if fileset is not None:
            try:
                plane = fileset.read(place, c=c, z=z, t=t, out=out)
            except (UnreadableImage, NotDerivable) as error:
                self._give_up(place.fileset_id, error)
            else:
                if plane is not None:
                    with self._counting:
                        self._n_local += 1
                        self._local_bytes += plane.nbytes
                    return plane
        return self._remote(place, c, z, t, out)

    def statistics(self) -> PixelStatistics:
        """Where the planes came from until now."""
        with self._counting:
            return PixelStatistics(
                n_local=self._n_local,
                n_remote=self._n_remote,
                local_bytes=self._local_bytes,
                remote_bytes=self._remote_bytes,
                n_proven=len(self._proven),
                not_local=tuple(sorted((number, left.reason) for number, left in self._not_local.items())),
                in_short=tuple(sorted((number, left.in_short) for number, left in self._not_local.items())),
            )

    def close(self) -> None:
        """Let go of the files; the connections are their pool's."""
        with self._proving:
            for fileset in self._open.values():
                fileset.close()
            self._open.clear()

    def _remote(self, place: Place, c: int, z: int, t: int, out: Plane | None = None) -> Plane:
        plane = self._session.read(lambda connection: read_raw_plane(connection, place, c=c, z=z, t=t, out=out))
        with self._counting:
            self._n_remote += 1
            self._remote_bytes += plane.nbytes
        return plane

    def _fileset(self, places: Iterable[Place] | None, place: Place) -> OnDisk | None:
        """The files of an image, once they are proven; None where the server has to be asked."""
        number = place.fileset_id
        if (fileset := self._open.get(number)) is not None and self._is_seen(number):
            return fileset
        if self._managed is None or not number or self._is_left(number):
            return None
        with self._proving:
            if number in self._open and not self._is_seen(number):
                self._look_again(number)
            if number in self._open or self._is_left(number):
                return self._open.get(number)
            try:
                fileset = self._opened(self._managed, places, place)
            except (UnreadableImage, NotDerivable) as error:
                self._leave(number, error)
                return None
            self._open[number] = fileset
            with self._counting:
                self._not_local.pop(number, None)
            if len(self._open) > OPEN_FILESETS:
                self._open.pop(next(iter(self._open))).close()
            return fileset

    def _is_left(self, number: int) -> bool:
        left = self._not_local.get(number)
        return left is not None and self._clock() < left.until_s

    def _leave(self, number: int, error: UnreadableImage | NotDerivable) -> None:
        """Read a fileset through the server for a while: what the disk or the mount had may pass."""
        before = self._not_local.get(number)
        pause_s = AGAIN_S if before is None else min(2 * before.pause_s, LONGEST_AGAIN_S)
        with self._counting:
            self._not_local[number] = LeftAlone(str(error), _in_short(error), self._clock() + pause_s, pause_s)

    def _is_seen(self, number: int) -> bool:
        return self._clock() - self._seen_at_s.get(number, -SEEN_S) < SEEN_S

    def _look_again(self, number: int) -> None:
        """Let go of a fileset that the person does not see any more: on the disk nobody would refuse it."""
        now_s = self._clock()
        if self._session.read(partial(_ask_for_files, fileset_ids=[number])).get(number):
            self._seen_at_s[number] = now_s
            return
        self._open.pop(number).close()
        self._files.pop(number, None)
        self._proven.discard(number)

    def _opened(self, managed: Path, places: Iterable[Place] | None, place: Place) -> OnDisk:
        """A fileset whose files give what the API gives.

        Raises:
            NotDerivable, UnreadableImage: they do not, or cannot be read.
        """
        number, now_s = place.fileset_id, self._clock()
        if places is None:
            places = self._session.read(partial(series_of, fileset_id=number))
            if place not in places:
                raise NotDerivable(f"pixels {place.pixels_id} are not in fileset {number} (any more)")
        # Asked also where they are known: that they are seen is what counts.
        if number not in self._files or not self._is_seen(number):
            wanted = sorted({one.fileset_id for one in places if one.fileset_id})
            for first in range(0, len(wanted), _IDS_AT_ONCE):
                some = wanted[first : first + _IDS_AT_ONCE]
                found = self._session.read(partial(_ask_for_files, fileset_ids=some))
                self._files |= found
                self._seen_at_s |= dict.fromkeys(found, now_s)
            if not self._is_seen(number):
                self._files.pop(number, None)
        fileset = open_fileset(managed, self._files.get(number, ()))
        if number in self._proven:
            return fileset
        try:
            self._prove(fileset, [one for one in places if one.fileset_id == number])
        except BaseException:
            fileset.close()
            raise
        self._proven.add(number)
        return fileset

    def _prove(self, fileset: OnDisk, places: list[Place]) -> None:
        """Compare planes that tell every order of c, z and t and of the series from every other."""
        last = max(places, key=lambda place: place.series)
        blank = True
        for c, z, t in witnesses(last):
            local, remote = fileset.read(last, c=c, z=z, t=t), self._remote(last, c, z, t)
            if local is None or not np.array_equal(local, remote, equal_nan=remote.dtype.kind == "f"):
                raise NotProven(f"series {last.series} differs from what the server gives at c {c}, z {z}, t {t}")
            blank = blank and bool((remote == remote.flat[0]).all())
        if blank:
            raise NotProven(f"series {last.series} is blank, which proves nothing")

    def _give_up(self, number: int, error: UnreadableImage | NotDerivable) -> None:
        with self._proving:
            fileset = self._open.pop(number, None)
            if fileset is not None:
                # Of several that were reading it the first one tells.
                self._leave(number, error)
                self._proven.discard(number)
                fileset.close()


def _in_short(error: UnreadableImage | NotDerivable) -> str:
    if isinstance(error, NotProven):
        return str(error)
    if isinstance(error, NotDerivable):
        return "its files are of a layout that is read through the server"
    return "a file is missing here or cannot be read"


def witnesses(place: Place) -> Iterator[tuple[int, int, int]]:
    """The planes (c, z, t) to compare: the last along each axis alone, and the last of all."""
    c, z, t = place.n_c - 1, place.n_z - 1, place.n_t - 1
    yield from dict.fromkeys([(c, 0, 0), (0, z, 0), (0, 0, t), (c, z, t)])


def _ask_for_files(connection: Connection, fileset_ids: list[int]) -> dict[int, tuple[str, ...]]:
    return files_of(connection.rows(FILES, fsids=fileset_ids))
