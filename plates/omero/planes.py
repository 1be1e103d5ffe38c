"""The planes of plates in OMERO for whatever process reads them: each in the name of the person who asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ..errors import PlaceRefused, ReaderUnavailable
from ..plate_source import Plane
from .address import OmeroAddress, Person
from .errors import OmeroCallRefused, OmeroMissing, OmeroNotPermitted
from .person import ActsForPeople, InTheNameOf
from .pixels import OmeroPixels
from .plane_counts import PixelStatistics, PlaneCounts
from .structure import place_named, plane_of

MOST_PEOPLE = 16
"""Whose open files a process keeps; those of who read longest ago are closed first."""
SCHEME = "omero"


def root_of(address: OmeroAddress) -> str:
    """What the root of each plate at this server is."""
    return f"{SCHEME}://{address}"


class ServedPlanes:
    """The planes of one server's plates, as each person may see them."""

    def __init__(self, people: ActsForPeople, managed: Path | None = None) -> None:
        """Read as ``people``, and from ``managed``, where the repository is mounted."""
        self._people = people
        self._managed = managed
        self._lock = threading.Lock()
        self._pixels: OrderedDict[str, OmeroPixels] = OrderedDict()
        self._past = PlaneCounts()

    def of(self, requester: str) -> OmeroPixels:
        """What reads in this person's name; the files that it trusts it has seen in that name."""
        with self._lock:
            pixels = self._pixels.get(requester)
            if pixels is None:
                session = InTheNameOf(Person(user=requester), self._people)
                pixels = self._pixels[requester] = OmeroPixels(session, managed=self._managed)
            self._pixels.move_to_end(requester)
            oldest = self._pixels.popitem(last=False)[1] if len(self._pixels) > MOST_PEOPLE else None
            if oldest is not None:
                self._past = self._past.plus(oldest.statistics(), is_over=True)
        if oldest is not None:
            oldest.close()
        return pixels

    def statistics(self) -> dict[str, PixelStatistics]:
        """Where the planes came from until now, by the person who asked for them."""
        with self._lock:
            return {requester: pixels.statistics() for requester, pixels in self._pixels.items()}

    def counts(self) -> PlaneCounts:
        """The same of all people together, also of those whose files were closed meanwhile."""
        with self._lock:
            counted = self._past
            for pixels in self._pixels.values():
                counted = counted.plus(pixels.statistics())
        return counted

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            held, self._pixels = list(self._pixels.values()), OrderedDict()
        for pixels in held:
            pixels.close()


class OmeroPlanes:
    """Reads planes of the servers at which this process has sessions."""

    def __init__(self) -> None:
        self._servers: dict[str, ServedPlanes] = {}

    @contextmanager
    def at(self, address: OmeroAddress, people: ActsForPeople, *, managed: Path | None = None) -> Iterator[None]:
        """Read at a server as long as the block lasts.

        Raises:
            PlaceRefused: somebody else of this process reads there: whose sessions are used must be certain.
        """
        root = root_of(address)
        if root in self._servers:
            raise PlaceRefused(
                f"another mesh of this process reads at OMERO {address}", hint="Run each in a process of its own."
            )
        planes = self._servers[root] = ServedPlanes(people, managed)
        try:
            yield
        finally:
            del self._servers[root]
            planes.close()

    def __call__(self, root: str, file: str, page: int = 0, *, out: Plane | None = None, requester: str = "") -> Plane:
        """One plane (Y, X) of a plate in OMERO, in native byte order; into ``out`` where given.

        Raises:
            UnreadableImage: the plane is absent or damaged, not of out's shape and type, or not to be read here.
            OmeroAwaitsLogin: nobody may act for the requester before the next login.
            PlaceRefused: the requester may not see it, or is nobody.
            OmeroError: the server cannot be reached, or something may pass that goes on inside it.
        """
        server = self._servers.get(root)
        if server is None:
            raise ReaderUnavailable(
                f"this process reads no planes at {root}",
                hint="A mesh whose settings name that server ([omero]) does, on its own host.",
            )
        if not requester:
            raise PlaceRefused("planes in OMERO are shown to persons, and nobody's name was given")
        place = place_named(file)
        c, z, t = plane_of(place, page)
        try:
            return server.of(requester).read_at(place, c=c, z=z, t=t, out=out)
        except (OmeroCallRefused, OmeroNotPermitted) as error:
            raise PlaceRefused(
                f"{requester} is not shown pixels {place.pixels_id} at OMERO, if they are there: {error}",
                hint="Ask their owner, or look at the plate again.",
            ) from error
        except OmeroMissing as error:
            raise ReaderUnavailable(str(error), hint=error.hint) from error

    def statistics(self) -> dict[str, dict[str, PixelStatistics]]:
        """Where the planes came from until now, by server and person."""
        return {root: planes.statistics() for root, planes in list(self._servers.items())}

    def counts(self) -> dict[str, int | float | str]:
        """The same for the statistics of an actor, of all servers and people together."""
        counted = PlaneCounts()
        for planes in list(self._servers.values()):
            counted = counted.with_all(planes.counts())
        return counted.told()


@cache
def planes_of_this_process() -> OmeroPlanes:
    """What reads here."""
    return OmeroPlanes()
