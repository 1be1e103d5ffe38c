"""The plates of an OMERO.server, shown to each person as that person sees them there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import PlaceRefused
from ..labels import Labels
from ..local.errors import check_plate_id, no_plate
from ..model import Plate, PlateSummary
from ..plate_source import Freshness
from .address import Person
from .connection import Connection
from .person import ActsForPeople, InTheNameOf
from .plate_labels import read_labels
from .plates import read_plate
from .structure import STAMP, SUMMARIES, summaries

T = TypeVar("T")


class OmeroSource:
    """Asks in the name of whoever asks, in that person's session; what it may not see is not there."""

    kind = "omero"
    compatible_results: tuple[str, ...] = ("omero",)

    def __init__(self, people: ActsForPeople, *, fresh_s: float = 60.0) -> None:
        """Ask through ``people``, who stay their owner's; an answer is told from memory for ``fresh_s``."""
        self._people = people
        self._fresh_s = fresh_s

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate that this person may see.

        Raises:
            OmeroAwaitsLogin: nobody can act for the person before the next login.
            PlaceRefused: it is asked in nobody's name.
            OmeroError: the server refuses or cannot be reached.
        """
        return self._read(requester, lambda connection: summaries(connection.rows(SUMMARIES)))

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        """Return what one plate holds, its root being the server's address.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        check_plate_id(plate_id)
        return self._read(requester, lambda connection: read_plate(connection, plate_id).plate)

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        """Say where a plate belongs and what people said of it there, in two questions.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        check_plate_id(plate_id)
        return self._read(requester, lambda connection: read_labels(connection, plate_id))

    def freshness(self, plate_id: int = 0) -> Freshness:
        """Others write there, and each person sees other plates."""
        return Freshness(self._fresh_s, is_private=True)

    def stamp(self, plate_id: int, requester: str = "") -> str:
        """One query: the plate's name and shape, and how many images it has, up to which.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see any more.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        return repr(self._rows(STAMP, plate_id, requester)[0])

    def close(self) -> None:
        """Nothing: the connections are not its own."""

    def _rows(self, query: str, plate_id: int, requester: str) -> list[list[object]]:
        check_plate_id(plate_id)
        rows = self._read(requester, lambda connection: [[*row] for row in connection.rows(query, pid=plate_id)])
        if not rows:
            raise no_plate(plate_id)
        return rows

    def _read(self, requester: str, work: Callable[[Connection], T]) -> T:
        if not requester:
            raise PlaceRefused("plates in OMERO are shown to persons, and nobody's name was given")
        return InTheNameOf(Person(user=requester), self._people).read(work)
